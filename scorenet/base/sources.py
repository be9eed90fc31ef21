"""Source hashes of user-registered functions and classes: a model is bound to the code it was trained with."""

from __future__ import annotations

import hashlib
import inspect
import textwrap

__all__ = ["UNREADABLE", "own_source", "remember_source", "source_hash"]

UNREADABLE = "unreadable"

_hashes: dict[tuple[str, str], str] = {}


def source_hash(entry: object) -> str:
    """Return the sha256 of the source of a function or class, or `UNREADABLE` if no file contains it.

    The hash covers decorators, but not the functions that it calls.
    """
    target = entry if inspect.isroutine(entry) or inspect.isclass(entry) else type(entry)
    try:
        lines = inspect.getsource(target)
    except (OSError, TypeError):
        return UNREADABLE
    return hashlib.sha256(textwrap.dedent(lines).strip().encode()).hexdigest()


def remember_source(kind: str, name: str, entry: object) -> None:
    """Store the source hash of a user's entry at its registration; entries of this package are skipped."""
    if str(getattr(entry, "__module__", "")).partition(".")[0] != __name__.partition(".")[0]:
        _hashes[kind, name] = source_hash(entry)


def own_source(kind: str, name: str) -> str | None:
    """Return the source hash of a user's entry (or `UNREADABLE`); None for an entry of this package."""
    return _hashes.get((kind, name))
