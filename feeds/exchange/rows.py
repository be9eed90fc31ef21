"""Convert the rows of an exchange's response to columns, or raise an error that names the invalid row.

ccxt returns rows unchecked: "NaN", "", negative numbers, rows of another symbol or outside the requested window.
Invalid rows are not repaired here: the whole response is rejected, and the request is repeated.
"""

import contextlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bars.times import iso
from .failures import Malformed

__all__ = [
    "Table",
    "TierRows",
    "check_bars",
    "check_market",
    "read_columns",
    "read_timestamp",
    "reject_rows",
    "select",
    "unite",
]

Table = dict[str, NDArray[Any]]
"""Columns by name, each [N]."""

TierRows = tuple[tuple[float, ...], ...]
"""Risk tiers, smallest first: limit of the position's value, maintenance rate, largest leverage[, deduction]."""

_PRICES = ("open", "high", "low", "close")


def read_columns(
    rows: Sequence[Any],
    columns: Mapping[str, str | int],
    start: int,
    end: int,
    step: int,
) -> Table:
    """Return the rows as columns [N], oldest first, without duplicates.

    `columns` maps each column name to its index or key in a row. The column "timestamp" must hold UTC ms in
    [start, end) that are multiples of `step` ms.

    Raises:
        Malformed: a row is too short, outside the window, off the grid or not finite, or two rows with the same
        timestamp differ; the message names the row.
    """
    times = _timestamps(_cells(rows, columns["timestamp"]), start, end, step)
    table: Table = {"timestamp": times}
    for name, place in columns.items():
        if name == "timestamp":
            continue
        texts = _cells(rows, place)
        values = _numbers(texts)
        if not np.isfinite(values).all():
            row = int(np.argmin(np.isfinite(values)))
            found = f"expected a finite number, found {texts[row]!r}"
            raise Malformed(f"row {iso(int(times[row]))}, column {name!r}: {found}")
        table[name] = values
    return _once(table)


def check_bars(table: Table) -> Table:
    """Return the table unchanged after checking its bars; the column volume is optional.

    Raises:
        Malformed: a price is not positive, a high is below or a low above open or close, or a volume is negative; the
        message names the row.
    """
    reject_rows(table, np.min([table[name] for name in _PRICES], axis=0) <= 0, "a price that is not positive")
    if "volume" in table:
        reject_rows(table, table["volume"] < 0, "a negative volume")
    body = np.array([table["open"], table["close"]])
    reject_rows(table, table["high"] < body.max(axis=0), "a high below open or close")
    reject_rows(table, table["low"] > body.min(axis=0), "a low above open or close")
    return table


def select(table: Table, rows: NDArray[np.bool_]) -> Table:
    """Return the rows of a table where `rows` [N] is True."""
    return {name: values[rows] for name, values in table.items()}


def read_timestamp(value: Any) -> int:
    """Return a time in UTC ms, given as a number or as digits.

    Raises:
        Malformed: the value is not a time in ms.
    """
    digits = str(value)
    if not digits.isascii() or not digits.isdigit() or len(digits) > 15:
        raise Malformed(f"expected a timestamp in ms, found {digits[:40]!r}")
    return int(digits)


def reject_rows(table: Table, wrong: NDArray[np.bool_], problem: str) -> None:
    """Raise Malformed if any row is `wrong` [N]; the message names the first of them."""
    if wrong.any():
        raise Malformed(f"row {iso(int(table['timestamp'][np.argmax(wrong)]))}: {problem}")


def check_market(found: Any, market: str) -> None:
    """Raise Malformed unless the rows belong to the requested market."""
    if found != market:
        raise Malformed(f"expected rows of {market}, found {found!r}")


def unite(first: Table, second: Table) -> Table:
    """Return the rows of both tables, oldest first, without duplicates.

    Raises:
        Malformed: two rows with the same timestamp differ; the message names the timestamp.
    """
    return _once({name: np.concatenate([first[name], second[name]]) for name in first})


def _once(table: Table) -> Table:
    order = np.argsort(table["timestamp"], kind="stable")
    table = {name: values[order] for name, values in table.items()}
    again = np.flatnonzero(np.diff(table["timestamp"]) == 0)
    for name, values in table.items():
        differing = again[values[again] != values[again + 1]]
        if differing.size:
            row = int(differing[0])
            raise Malformed(
                f"two different rows for {iso(int(table['timestamp'][row]))} "
                f"({name} {values[row]} and {values[row + 1]})"
            )
    return {name: np.delete(values, again + 1) for name, values in table.items()}


def _cells(rows: Sequence[Any], place: Any) -> list[Any]:
    try:
        return [row[place] for row in rows]
    except (KeyError, IndexError, TypeError) as error:
        short = next(row for row in rows if not _has(row, place))
        raise Malformed(f"expected a row with {place!r}, found {str(short)[:80]}") from error


def _has(row: Any, place: Any) -> bool:
    return (
        place in row
        if isinstance(row, dict)
        else isinstance(row, list) and isinstance(place, int) and place < len(row)
    )


def _timestamps(texts: list[Any], start: int, end: int, step: int) -> NDArray[np.int64]:
    if _are_timestamps(texts):
        times = np.array(list(map(int, texts)), dtype=np.int64)
        if not ((times < start) | (times >= end) | (times % step != 0)).any():
            return times
    # At least one timestamp is invalid: this slower loop finds it and names it in the error.
    return np.array([_timestamp(text, start, end, step) for text in texts], dtype=np.int64)


def _are_timestamps(values: list[Any]) -> bool:
    if all(type(value) is int and 0 <= value < 10**15 for value in values):
        return True
    if not all(type(value) is str and 0 < len(value) <= 15 for value in values):
        return False
    joined = "".join(values)
    return joined.isascii() and joined.isdigit()


def _numbers(texts: list[Any]) -> NDArray[np.float64]:
    """Convert texts to numbers; a text that is not a number gives NaN."""
    if all(type(text) is str for text in texts):
        with contextlib.suppress(ValueError):
            return np.array(list(map(float, texts)), dtype=np.float64)
    return np.array([_number(text) for text in texts], dtype=np.float64)


def _timestamp(text: Any, start: int, end: int, step: int) -> int:
    time = read_timestamp(text)
    if not start <= time < end:
        raise Malformed(
            f"a row at {time} ms is outside the window that was requested, {iso(start)} to {iso(end)}"
        )
    if time % step:
        raise Malformed(f"a row at {iso(time)}, which is not a multiple of {step // 60_000} minutes")
    return time


def _number(text: Any) -> float:
    """Convert a text to a number; a text that is not a number gives NaN."""
    try:
        return float(text) if isinstance(text, str | int | float) and not isinstance(text, bool) else math.nan
    except (ValueError, OverflowError):
        return math.nan
