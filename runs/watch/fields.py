"""Typed reading of records that another process, or an enemy, has written."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Self

__all__ = ["Unfit", "decimal", "instant", "mapping", "number", "records", "text", "texts", "whole"]

_MOST_DIGITS = 40
_YEAR_10000 = 253_402_300_800_000


class Unfit(ValueError):
    """Report a record with a field of another type or range; the text names the field."""

    @classmethod
    def of(cls, key: str, expected: str, value: Any) -> Self:
        """Return the error for one field."""
        return cls(f"{key}: expected {expected}, found {repr(value)[:40]}")


def text(record: Mapping[str, Any], key: str, default: str | None = None) -> str:
    """Return a text; `default` if the key is absent or null. Raises `Unfit`."""
    value = record.get(key)
    if value is None and default is not None:
        return default
    if not isinstance(value, str):
        raise Unfit.of(key, "a text", value)
    return value


def whole(record: Mapping[str, Any], key: str, default: int | None = None) -> int:
    """Return a whole number below 2^63; `default` if the key is absent or null. Raises `Unfit`."""
    value = record.get(key)
    if value is None and default is not None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) >= 2**63:
        raise Unfit.of(key, "a whole number", value)
    return value


def instant(record: Mapping[str, Any], key: str, default: int | None = None) -> int:
    """Return a time in UTC ms, up to the year 9999; `default` if the key is absent or null. Raises `Unfit`."""
    value = whole(record, key, default)
    if not 0 <= value < _YEAR_10000:
        raise Unfit.of(key, "a time in UTC ms", value)
    return value


def number(record: Mapping[str, Any], key: str) -> float | None:
    """Return a finite number, or None for null. Raises `Unfit`."""
    value = record.get(key)
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300:
        return float(value)
    raise Unfit.of(key, "a number", value)


def decimal(record: Mapping[str, Any], key: str) -> Decimal:
    """Return a decimal number that is written as text. Raises `Unfit`."""
    try:
        value = Decimal(text(record, key))
    except InvalidOperation:
        raise Unfit.of(key, "a decimal number", record.get(key)) from None
    exponent = value.as_tuple().exponent
    # "1e999999999" is short, but its digits would fill the memory.
    if not isinstance(exponent, int) or max(abs(exponent), abs(value.adjusted())) > _MOST_DIGITS:
        raise Unfit.of(key, "a decimal number", record.get(key))
    return value


def mapping(record: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return an object of JSON. Raises `Unfit`."""
    value = record.get(key)
    if not isinstance(value, dict):
        raise Unfit.of(key, "an object", value)
    return value


def texts(record: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """Return a list of texts. Raises `Unfit`."""
    value = record.get(key)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    raise Unfit.of(key, "a list of texts", value)


def records(record: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    """Return a list of objects of JSON. Raises `Unfit`."""
    value = record.get(key)
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        return value
    raise Unfit.of(key, "a list of objects", value)
