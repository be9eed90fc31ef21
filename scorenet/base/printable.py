"""Text for a terminal or a notebook: from elsewhere, with its controls shown, not obeyed; of an object, in one line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["one_line", "printable"]

_LONG = 60  # characters

# Controls but new line and tab, lone surrogates, line separators, and marks that reverse the direction of text.
_OBEYED = re.compile(
    "[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u061c\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069\\ud800-\\udfff]"
)


def printable(text: str) -> str:
    """Return `text` with each character that a terminal would obey written as its escape, e.g. `\\x1b`."""
    return _OBEYED.sub(lambda found: found.group().encode("unicode_escape").decode("ascii"), text)


def one_line(owner: object, *facts: str, **values: Any) -> str:
    """Return "Name(fact, name=value, ...)": an array as its shape "[3, 11]", a mapping as its keys."""
    parts = [*facts, *(f"{name}={_short(value)}" for name, value in values.items())]
    return f"{type(owner).__name__}({', '.join(parts)})"


def _short(value: Any) -> str:
    shape = getattr(value, "shape", None)
    if shape is not None:
        return f"{list(shape)}" if len(shape) else str(value)
    if isinstance(value, Mapping):
        value = list(value)
    text = " ".join(repr(value).split())
    if len(text) <= _LONG:
        return text
    return f"<{len(value)} items>" if isinstance(value, list | tuple) else f"{text[: _LONG - 1]}…"
