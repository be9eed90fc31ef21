"""What source a name of the user's own was registered from: models are bound to it."""

from __future__ import annotations

import hashlib
import inspect
import textwrap

__all__ = ["UNREADABLE", "own_source", "remember_source", "source_hash"]

UNREADABLE = "unreadable"

_hashes: dict[tuple[str, str], str] = {}


def source_hash(entry: object) -> str:
    """Return the sha256 of the source of a function or class, or `UNREADABLE` where it is in no file.

    The decorators are part of it; what it calls is not.
    """
    target = entry if inspect.isroutine(entry) or inspect.isclass(entry) else type(entry)
    try:
        lines = inspect.getsource(target)
    except (OSError, TypeError):
        return UNREADABLE
    return hashlib.sha256(textwrap.dedent(lines).strip().encode()).hexdigest()


def remember_source(kind: str, name: str, entry: object) -> None:
    """Note the source of an entry at the moment of its registration; what this package brings needs no note."""
    if str(getattr(entry, "__module__", "")).partition(".")[0] != __name__.partition(".")[0]:
        _hashes[kind, name] = source_hash(entry)


def own_source(kind: str, name: str) -> str | None:
    """Return the hash noted for a name of the user's own (or `UNREADABLE`); None for a name of this package."""
    return _hashes.get((kind, name))
