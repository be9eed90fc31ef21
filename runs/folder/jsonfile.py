"""JSON of run folders: plain values, null for undefined numbers, never NaN."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import date
from pathlib import PurePath
from typing import Any

import numpy as np

__all__ = ["dump_json", "parse_json", "plain"]


def dump_json(content: Mapping[str, Any]) -> str:
    """Return indented JSON text of a mapping; numbers that are not finite become null.

    Raises:
        TypeError: A value has a type that JSON cannot hold.
    """
    return json.dumps(plain(content), indent=2, allow_nan=False) + "\n"


def parse_json(text: str) -> Any:
    """Return the value of a JSON text.

    Raises:
        ValueError: The text is not JSON; NaN and Infinity are not.
    """
    return json.loads(text, parse_constant=_refuse_constant)


def plain(value: Any) -> Any:
    """Return a value that JSON can hold: numpy unpacked, not-finite numbers as None, paths as text."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, date):
        return value.isoformat()
    return value


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")
