"""Rows of an exchange's answer as columns, or a refusal that names the row.

ccxt passes on whatever it is sent: "NaN", "", negative numbers, rows of another symbol or outside the window.
Nothing here is repaired; an answer is right or it is asked for again.
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
    "check_bars",
    "check_market",
    "read_columns",
    "read_stamp",
    "refuse",
    "select",
    "unite",
]

Table = dict[str, NDArray[Any]]
"""Columns by name, each [N]."""

_PRICES = ("open", "high", "low", "close")


def read_columns(
    rows: Sequence[Any],
    columns: Mapping[str, str | int],
    start: int,
    end: int,
    step: int,
) -> Table:
    """Return the columns of rows, oldest first, each timestamp once, each [N].

    `columns` says by name where in a row a number is, "timestamp" first: whole ms in [start, end) on the grid of
    `step` ms.

    Raises:
        Malformed: a row is too short, outside the window, off the grid, not finite, or there twice with different
        values; it is named.
    """
    stamps = _stamps(_cells(rows, columns["timestamp"]), start, end, step)
    table: Table = {"timestamp": stamps}
    for name, place in columns.items():
        if name == "timestamp":
            continue
        texts = _cells(rows, place)
        values = _numbers(texts)
        if not np.isfinite(values).all():
            row = int(np.argmin(np.isfinite(values)))
            found = f"expected a finite number, found {texts[row]!r}"
            raise Malformed(f"row {iso(int(stamps[row]))}, column {name!r}: {found}")
        table[name] = values
    return _once(table)


def check_bars(table: Table) -> Table:
    """Return the bars of a table, with or without volume, that are all possible ones.

    Raises:
        Malformed: a price that is not positive, a high or low on the wrong side, a negative volume; the row is named.
    """
    refuse(table, np.min([table[name] for name in _PRICES], axis=0) <= 0, "a price that is not positive")
    if "volume" in table:
        refuse(table, table["volume"] < 0, "a negative volume")
    body = np.array([table["open"], table["close"]])
    refuse(table, table["high"] < body.max(axis=0), "a high below open or close")
    refuse(table, table["low"] > body.min(axis=0), "a low above open or close")
    return table


def select(table: Table, rows: NDArray[np.bool_]) -> Table:
    """Return the rows of a table where `rows` [N] is True."""
    return {name: values[rows] for name, values in table.items()}


def read_stamp(value: Any) -> int:
    """Return a time in UTC ms that an exchange wrote as a number or its digits.

    Raises:
        Malformed: it is none.
    """
    digits = str(value)
    if not digits.isascii() or not digits.isdigit() or len(digits) > 15:
        raise Malformed(f"expected a timestamp in ms, found {digits[:40]!r}")
    return int(digits)


def refuse(table: Table, wrong: NDArray[np.bool_], what: str) -> None:
    """Raise Malformed, naming the first row, if any of a table's rows is `wrong` [N]."""
    if wrong.any():
        raise Malformed(f"row {iso(int(table['timestamp'][np.argmax(wrong)]))}: {what}")


def check_market(found: Any, market: str) -> None:
    """Raise Malformed unless rows are of the market that was asked for."""
    if found != market:
        raise Malformed(f"expected rows of {market}, found {found!r}")


def unite(first: Table, second: Table) -> Table:
    """Return the rows of both tables, oldest first, each timestamp once.

    Raises:
        Malformed: the tables disagree about a timestamp; it is named.
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


def _stamps(texts: list[Any], start: int, end: int, step: int) -> NDArray[np.int64]:
    if _are_stamps(texts):
        stamps = np.array(list(map(int, texts)), dtype=np.int64)
        if not ((stamps < start) | (stamps >= end) | (stamps % step != 0)).any():
            return stamps
    # One of them is strange: go through them one by one and name it.
    return np.array([_stamp(text, start, end, step) for text in texts], dtype=np.int64)


def _are_stamps(values: list[Any]) -> bool:
    if all(type(value) is int and 0 <= value < 10**15 for value in values):
        return True
    if not all(type(value) is str and 0 < len(value) <= 15 for value in values):
        return False
    joined = "".join(values)
    return joined.isascii() and joined.isdigit()


def _numbers(texts: list[Any]) -> NDArray[np.float64]:
    """Return the numbers that texts spell, NaN for one that spells none."""
    if all(type(text) is str for text in texts):
        with contextlib.suppress(ValueError):
            return np.array(list(map(float, texts)), dtype=np.float64)
    return np.array([_number(text) for text in texts], dtype=np.float64)


def _stamp(text: Any, start: int, end: int, step: int) -> int:
    stamp = read_stamp(text)
    if not start <= stamp < end:
        raise Malformed(
            f"a row at {stamp} ms, outside the window {iso(start)} to {iso(end)} that was asked for"
        )
    if stamp % step:
        raise Malformed(f"a row at {iso(stamp)}, which is not a multiple of {step // 60_000} minutes")
    return stamp


def _number(text: Any) -> float:
    """Return the number that a text spells, NaN when it spells none."""
    try:
        return float(text) if isinstance(text, str | int | float) and not isinstance(text, bool) else math.nan
    except (ValueError, OverflowError):
        return math.nan
