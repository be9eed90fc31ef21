"""Convert times from outside to int64 UTC ms, or raise an error for invalid ones."""

import datetime as dt
import re

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scorenet.base.times import iso

from ..errors import BadBars, BadSource

__all__ = ["iso", "parse_time", "utc_ms"]

# Plausible UTC ms: 1973 to 2286. Seconds fall below, microseconds and nanoseconds above.
_FIRST_MS, _LAST_MS = 10**11, 10**13
_TIME_COLUMNS = ("timestamp", "datetime", "date", "time")
_UNITS_PER_MS = {"ms": 1, "us": 1000, "ns": 1_000_000}
_HAS_ZONE = re.compile(r"(?:[Zz]|[+-]\d\d:?\d\d)\s*$")


def parse_time(value: str | int | dt.date | dt.datetime) -> int:
    """Return UTC ms for a date, ISO text, datetime or UTC ms; times without a zone are UTC.

    Raises:
        BadSource: the text is not a date, or the number is not a plausible time in UTC ms.
    """
    if isinstance(value, str):
        text = value.strip()
        if re.fullmatch(r"\d{9,}", text):
            return parse_time(int(text))
        try:
            value = dt.datetime.fromisoformat(text)
        except ValueError as error:
            raise BadSource(
                f"expected a date such as '2024-07-01' or '2024-07-01T08:00Z', found {text!r}"
            ) from error
    if isinstance(value, dt.datetime):
        if pd.isna(value):
            raise BadSource("expected a date such as '2024-07-01', found NaT")
        instant = value if value.tzinfo else value.replace(tzinfo=dt.UTC)
        return (instant - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(milliseconds=1)
    if isinstance(value, dt.date):
        return parse_time(dt.datetime(value.year, value.month, value.day, tzinfo=dt.UTC))
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        if _FIRST_MS <= value < _LAST_MS:
            return int(value)
        raise BadSource(f"expected UTC milliseconds, found {value}, which {_looks_like(int(value))}")
    raise BadSource(f"expected a date, ISO text, datetime or UTC ms, found {value!r}")


def utc_ms(frame: pd.DataFrame) -> NDArray[np.int64]:
    """Return the open times of a frame's rows as UTC ms [T], converted from their unit and zone.

    Raises:
        BadBars: there is no time column, or a time is missing, naive, or in the wrong unit.
    """
    name = next((column for column in _TIME_COLUMNS if column in frame.columns), None)
    if name is not None:
        values: pd.Series | pd.Index = frame[name]
    elif isinstance(frame.index, pd.DatetimeIndex):
        name, values = "timestamp", frame.index
    else:
        raise BadBars(
            "expected a column 'timestamp' (UTC ms or tz-aware datetime, the bar's open) or a tz-aware "
            f"DatetimeIndex, found columns {', '.join(map(str, frame.columns)) or 'none'}",
            column="timestamp",
            reason="missing_column",
        )
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        return _from_datetimes(pd.DatetimeIndex(values), name)
    if pd.api.types.is_numeric_dtype(values.dtype) and not pd.api.types.is_bool_dtype(values.dtype):
        return _from_numbers(values, name)
    return _from_objects(values, name)


def _from_datetimes(index: pd.DatetimeIndex, column: str) -> NDArray[np.int64]:
    if index.tz is None:
        raise BadBars(
            f"column {column!r} holds naive times; localise it first, "
            "e.g. frame[column].dt.tz_localize('UTC'), or give int64 UTC ms",
            column=column,
            reason="naive",
        )
    missing = np.flatnonzero(index.isna())
    if missing.size:
        raise _missing(int(missing[0]), column)
    raw = np.asarray(index.asi8, dtype=np.int64)
    if index.unit == "s":
        return raw * 1000
    per_ms = _UNITS_PER_MS[index.unit]
    off = np.flatnonzero(raw % per_ms)
    if off.size:
        row = int(off[0])
        raise BadBars(
            f"row {row}, column {column!r}: {index[row].isoformat()} is not on a whole millisecond",
            row=row,
            column=column,
            timestamp=int(raw[row] // per_ms),
            reason="misaligned",
        )
    return raw // per_ms


def _from_numbers(values: "pd.Series | pd.Index", column: str) -> NDArray[np.int64]:
    missing = np.flatnonzero(np.asarray(values.isna()))
    if missing.size:
        raise _missing(int(missing[0]), column)
    numbers = values.to_numpy()
    if not np.issubdtype(numbers.dtype, np.integer):
        numbers = numbers.astype(np.float64)
        off = np.flatnonzero(~np.isfinite(numbers) | (numbers != np.floor(numbers)))
        if off.size:
            row = int(off[0])
            raise BadBars(
                f"row {row}, column {column!r}: expected whole UTC ms, found {numbers[row]}",
                row=row,
                column=column,
                reason="unit",
            )
    wrong = np.flatnonzero((numbers < _FIRST_MS) | (numbers >= _LAST_MS))
    if wrong.size:
        row = int(wrong[0])
        raise BadBars(
            f"row {row}, column {column!r}: expected UTC milliseconds, found {int(numbers[row])}, "
            f"which {_looks_like(int(numbers[row]))}",
            row=row,
            column=column,
            reason="unit",
        )
    return numbers.astype(np.int64)


def _from_objects(values: "pd.Series | pd.Index", column: str) -> NDArray[np.int64]:
    """Convert ISO texts and datetime objects; each must have a time zone."""
    instants = np.empty(len(values), dtype=np.int64)
    for row, value in enumerate(values):
        if (
            value is None
            or value is pd.NaT
            or value is pd.NA
            or (isinstance(value, float) and value != value)
        ):
            raise _missing(row, column)
        if _is_naive(value):
            raise BadBars(
                f"row {row}, column {column!r}: {value!s} has no time zone; "
                "write it with 'Z' or '+00:00', or give int64 UTC ms",
                row=row,
                column=column,
                reason="naive",
            )
        try:
            instants[row] = parse_time(value)
        except BadSource as error:
            raise BadBars(
                f"row {row}, column {column!r}: {error}", row=row, column=column, reason="unit"
            ) from error
    return instants


def _is_naive(value: object) -> bool:
    if isinstance(value, dt.datetime):
        return value.tzinfo is None
    if isinstance(value, str):
        return not value.strip().isdigit() and not _HAS_ZONE.search(value)
    return isinstance(value, dt.date)


def _missing(row: int, column: str) -> BadBars:
    return BadBars(f"row {row}, column {column!r}: the time is missing", row=row, column=column, reason="nan")


def _looks_like(number: int) -> str:
    if 10**8 <= number < _FIRST_MS:
        return "looks like seconds (multiply by 1000)"
    if 10**14 <= number < 10**17:
        return "looks like microseconds (divide by 1000)"
    if number >= 10**17:
        return "looks like nanoseconds (divide by 1,000,000)"
    return "is no plausible time between 1973 and 2286"
