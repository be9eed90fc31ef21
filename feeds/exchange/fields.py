"""Fields of an instrument as exchanges write them: names, rules, times."""

import math
from collections.abc import Mapping
from typing import Any

from .failures import Malformed

__all__ = ["moment_of", "name_of", "part_of", "rule_of"]


def name_of(row: Mapping[str, Any], field: str) -> str:
    """Return a text that must be there.

    Raises:
        Malformed: it is not.
    """
    name = row.get(field)
    if not isinstance(name, str) or not name:
        raise Malformed(f"expected an instrument with {field!r}, found {str(row)[:80]}")
    return name


def part_of(row: Mapping[str, Any], field: str) -> Mapping[str, Any]:
    """Return an object inside a row, an empty one where there is none."""
    part = row.get(field)
    return part if isinstance(part, dict) else {}


def rule_of(rules: Mapping[str, Any], *fields: str) -> float:
    """Return the number in the first of the fields that is there, 0.0 when none is.

    Raises:
        Malformed: it is no finite number >= 0.
    """
    text = next((rules[field] for field in fields if rules.get(field)), "0")
    try:
        value = float(text)
    except (TypeError, ValueError) as error:
        raise Malformed(f"expected a number as {fields[0]!r}, found {str(text)[:40]!r}") from error
    if not (math.isfinite(value) and value >= 0):
        raise Malformed(f"expected {fields[0]!r} to be a finite number >= 0, found {str(text)[:40]!r}")
    return value


def moment_of(row: Mapping[str, Any], field: str) -> int | None:
    """Return a time in UTC ms, None where there is none or it is 0."""
    text = str(row.get(field))
    return int(text) or None if text.isascii() and text.isdigit() and len(text) <= 15 else None
