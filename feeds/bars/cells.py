"""Validate the values of bars: return every column as float64, or raise an error that names the cell."""

import numbers
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scorenet.base.did_you_mean import close_matches

from ..errors import BadBars
from .times import iso

__all__ = ["COLUMNS", "MARK_COLUMNS", "OPTIONAL_COLUMNS", "bar_values", "to_arrays"]

COLUMNS = ("timestamp", "open", "high", "low", "close", "volume")
MARK_COLUMNS = ("mark_open", "mark_high", "mark_low", "mark_close")
OPTIONAL_COLUMNS = ("funding_rate", "open_interest", "filled", *MARK_COLUMNS)

_PRICES = ("open", "high", "low", "close")

# (column, mask of wrong rows, what was expected, reason)
_Check = tuple[str, NDArray[np.bool_], str, str]


def bar_values(frame: pd.DataFrame, times: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    """Return the value columns of `frame` as new arrays [T], after checking every cell and the order of times.

    Raises:
        BadBars: a column is missing, or a cell violates the contract; the message names the first invalid row.
    """
    _check_columns(frame)
    known = (*COLUMNS[1:], "funding_rate", "open_interest", *MARK_COLUMNS)
    names = [name for name in known if name in frame.columns]
    values: dict[str, NDArray[Any]] = {name: _floats(frame[name], times) for name in names}
    _raise_first(_checks(times, values), times, frame)
    if "filled" in frame.columns:
        values["filled"] = _flags(frame["filled"], times)
    return values


def to_arrays(frame: pd.DataFrame) -> dict[str, NDArray[Any]]:
    """Return a canonical frame's columns as contiguous arrays [T], keyed by name, in the contract's order."""
    names = [name for name in (*COLUMNS, *OPTIONAL_COLUMNS) if name in frame.columns]
    return {name: np.array(frame[name].to_numpy(), order="C") for name in names}


def _check_columns(frame: pd.DataFrame) -> None:
    found = [str(name) for name in frame.columns]
    doubled = next((name for name in found if found.count(name) > 1), None)
    if doubled is not None:
        raise BadBars(
            f"expected each column once, found {doubled!r} twice", column=doubled, reason="duplicate_column"
        )
    marked = any(name in found for name in MARK_COLUMNS)
    for name in (*COLUMNS[1:], *(MARK_COLUMNS if marked else ())):
        if name in found:
            continue
        close = close_matches(name, found)
        hint = f"; did you mean {close[0]!r}? rename it" if close else ""
        raise BadBars(
            f"expected a column {name!r}, found {', '.join(found) or 'none'}{hint}",
            column=name,
            reason="missing_column",
        )


def _checks(times: NDArray[np.int64], values: dict[str, NDArray[Any]]) -> list[_Check]:
    order = np.diff(times, prepend=times[0] - 1)
    checks: list[_Check] = [
        ("timestamp", order == 0, "expected a later time, found the same time again", "duplicate"),
        ("timestamp", order < 0, "expected increasing times, found an earlier one", "unsorted"),
    ]
    for name, column in values.items():
        checks.append((name, np.isnan(column), "expected a number", "nan"))
        checks.append((name, np.isinf(column), "expected a finite number", "infinite"))
    for prefix in ("", "mark_") if MARK_COLUMNS[0] in values else ("",):
        names = [prefix + name for name in _PRICES]
        checks += [(name, values[name] <= 0, "expected a price > 0", "not_positive") for name in names]
    checks.append(("volume", values["volume"] < 0, "expected a volume >= 0", "negative"))
    if "open_interest" in values:
        checks.append(("open_interest", values["open_interest"] < 0, "expected a value >= 0", "negative"))
    for prefix in ("", "mark_") if MARK_COLUMNS[0] in values else ("",):
        high, low = values[prefix + "high"], values[prefix + "low"]
        checks.append((prefix + "high", high < low, "expected high >= low", "high_below_low"))
        for name in (prefix + "open", prefix + "close"):
            outside = (values[name] > high) | (values[name] < low)
            checks.append((name, outside, "expected a price between low and high", "outside_range"))
    return checks


def _raise_first(checks: list[_Check], times: NDArray[np.int64], frame: pd.DataFrame) -> None:
    """Raise for the earliest invalid row; within a row, for the first failed check."""
    failed = [(int(np.argmax(mask)), check) for check, (_, mask, _, _) in enumerate(checks) if mask.any()]
    if not failed:
        return
    row, check = min(failed)
    column, _, expected, reason = checks[check]
    found = iso(int(times[row])) if column == "timestamp" else _cell(frame, row, column)
    raise _bad(row, column, times, f"{expected}, found {found}", reason)


def _cell(frame: pd.DataFrame, row: int, column: str) -> str:
    if column in ("volume", "funding_rate", "open_interest"):
        return str(frame[column].iloc[row])
    names = MARK_COLUMNS if column in MARK_COLUMNS else _PRICES
    prices = ", ".join(f"{name} {frame[name].iloc[row]}" for name in names)
    return f"{frame[column].iloc[row]} ({prices})"


def _floats(column: pd.Series, times: NDArray[np.int64]) -> NDArray[np.float64]:
    name = str(column.name)
    if pd.api.types.is_bool_dtype(column.dtype) or pd.api.types.is_complex_dtype(column.dtype):
        raise BadBars(f"column {name!r}: expected numbers, found {column.dtype}", column=name, reason="dtype")
    if pd.api.types.is_numeric_dtype(column.dtype):
        return np.array(column.to_numpy(dtype=np.float64, na_value=np.nan), dtype=np.float64)
    floats = np.empty(len(column))
    for row, value in enumerate(column):
        if value is None or value is pd.NA or value is pd.NaT:
            floats[row] = np.nan
        elif isinstance(value, (numbers.Real, Decimal)) and not isinstance(value, (bool, np.bool_)):
            floats[row] = float(value)
        else:
            raise _bad(row, name, times, f"expected a number, found {value!r}", "dtype")
    return floats


def _flags(column: pd.Series, times: NDArray[np.int64]) -> NDArray[np.bool_]:
    if not pd.api.types.is_bool_dtype(column.dtype):
        raise BadBars(
            f"column 'filled': expected true or false, found {column.dtype}", column="filled", reason="dtype"
        )
    missing = np.flatnonzero(column.isna().to_numpy())
    if missing.size:
        raise _bad(int(missing[0]), "filled", times, "expected true or false, found nothing", "nan")
    return np.array(column.to_numpy(dtype=np.bool_), dtype=np.bool_)


def _bad(row: int, column: str, times: NDArray[np.int64], what: str, reason: str) -> BadBars:
    time = int(times[row])
    return BadBars(
        f"row {row} ({iso(time)}), column {column!r}: {what}",
        row=row,
        column=column,
        timestamp=time,
        reason=reason,
    )
