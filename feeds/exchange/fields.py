"""Read the fields of an exchange's instrument: names, trading rules and times."""

import math
from collections.abc import Mapping
from typing import Any

from .failures import Malformed

__all__ = ["count_of", "name_of", "part_of", "rule_of", "time_of"]


def name_of(row: Mapping[str, Any], field: str) -> str:
    """Return a required text field.

    Raises:
        Malformed: the field is missing, empty or not text.
    """
    name = row.get(field)
    if not isinstance(name, str) or not name:
        raise Malformed(f"expected an instrument with {field!r}, found {str(row)[:80]}")
    return name


def part_of(row: Mapping[str, Any], field: str) -> Mapping[str, Any]:
    """Return a nested object, empty if the row does not have it."""
    part = row.get(field)
    return part if isinstance(part, dict) else {}


def rule_of(rules: Mapping[str, Any], *fields: str) -> float:
    """Return the number in the first field that is present, 0.0 if none is.

    Raises:
        Malformed: the value is not a finite number >= 0.
    """
    text = next((rules[field] for field in fields if rules.get(field)), "0")
    try:
        value = float(text)
    except (TypeError, ValueError, OverflowError) as error:
        raise Malformed(f"expected a number as {fields[0]!r}, found {str(text)[:40]!r}") from error
    if not (math.isfinite(value) and value >= 0):
        raise Malformed(f"expected {fields[0]!r} to be a finite number >= 0, found {str(text)[:40]!r}")
    return value


def count_of(row: Mapping[str, Any], field: str) -> int | None:
    """Return a whole number above 0, None if the field is missing, 0 or no such number."""
    text = str(row.get(field))
    return int(text) or None if text.isascii() and text.isdigit() and len(text) <= 15 else None


def time_of(row: Mapping[str, Any], field: str) -> int | None:
    """Return a time in UTC ms, None if the field is missing or 0."""
    return count_of(row, field)
