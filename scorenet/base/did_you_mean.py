"""Suggestions for misspelled names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["close_matches", "did_you_mean"]


def close_matches(word: str, known: Iterable[str], n: int = 1, cutoff: float = 0.6) -> list[str]:
    """Return the `n` known names most similar to `word`, best first; case is ignored."""
    spelled: dict[str, str] = {}
    for name in known:
        spelled.setdefault(name.lower(), name)
    return [spelled[match] for match in difflib.get_close_matches(word.lower(), spelled, n, cutoff)]


def did_you_mean(word: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Return "; did you mean 'NAME'?", or "" if no known name is similar."""
    close = close_matches(word, known, cutoff=cutoff)
    return f"; did you mean {close[0]!r}?" if close else ""
