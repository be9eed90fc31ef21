"""The floor below every package: names with hints, registries, whole files, locks, times, error lines; no torch."""

__all__: list[str] = []
