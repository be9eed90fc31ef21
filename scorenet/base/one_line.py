"""The text of an object in one line: arrays by their shape, long values by their length."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["one_line"]

_LONG = 60  # characters


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
