"""Helpers for every package, without torch: name suggestions, registries, atomic files, locks, times, error lines."""

__all__: list[str] = []
