"""Raw rows of an exchange's answer into columns, or a refusal that names the row.

ccxt passes on whatever it is sent: "NaN", "", negative numbers, rows of another symbol or outside the window.
Nothing here is repaired; an answer is right or it is asked for again.
"""

import contextlib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bars.times import iso
from ..exchange.failures import Malformed
from ..instruments import Instrument

__all__ = ["Table", "parse_funding", "parse_klines", "parse_open_interest", "unite"]

Table = dict[str, NDArray[Any]]

_PRICES = ("open", "high", "low", "close")


def parse_klines(
    result: dict[str, Any], instrument: Instrument, start: int, end: int, step: int, *, mark: bool = False
) -> Table:
    """Return the bars of an answer, oldest first: the columns of bars, each [N]; without volume for `mark`.

    Volume is in base units everywhere: an inverse contract's own volume counts US dollars, its turnover is
    in the base coin.

    Raises:
        Malformed: another market's answer, or a row outside [start, end), off the grid, or not a possible
        bar.
    """
    _check_market(result.get("symbol"), instrument.id)
    names: tuple[str, ...] = ("timestamp", *_PRICES)
    places: tuple[int, ...] = (0, 1, 2, 3, 4)
    if not mark:
        names, places = (*names, "volume"), (*places, 6 if instrument.category == "inverse" else 5)
    table = _table(result["list"], names, places, start, end, step)
    _refuse(table, np.min([table[name] for name in _PRICES], axis=0) <= 0, "a price that is not positive")
    if not mark:
        _refuse(table, table["volume"] < 0, "a negative volume")
    body = np.array([table["open"], table["close"]])
    _refuse(table, table["high"] < body.max(axis=0), "a high below open or close")
    _refuse(table, table["low"] > body.min(axis=0), "a low above open or close")
    return table


def parse_funding(result: dict[str, Any], market: str, start: int, end: int) -> Table:
    """Return the settlements of an answer, oldest first, as timestamp, funding_rate, each [N].

    Raises:
        Malformed: a row of another market, outside [start, end), off the minute, or not finite.
    """
    for row in result["list"]:
        _check_market(row.get("symbol") if isinstance(row, dict) else None, market)
    names = ("timestamp", "funding_rate")
    return _table(result["list"], names, ("fundingRateTimestamp", "fundingRate"), start, end, 60_000)


def parse_open_interest(result: dict[str, Any], market: str, start: int, end: int, step: int) -> Table:
    """Return the open interest of an answer, oldest first: timestamp, open_interest, each [N].

    It is in base units, of an inverse contract in contracts of one US dollar.

    Raises:
        Malformed: another market's answer, or a row outside [start, end), off the grid, negative, not finite.
    """
    _check_market(result.get("symbol"), market)
    names = ("timestamp", "open_interest")
    table = _table(result["list"], names, ("timestamp", "openInterest"), start, end, step)
    _refuse(table, table["open_interest"] < 0, "a negative open interest")
    return table


def unite(first: Table, second: Table) -> Table:
    """Return the rows of both tables, oldest first, each timestamp once.

    Raises:
        Malformed: the tables disagree about a timestamp; it is named.
    """
    return _once({name: np.concatenate([first[name], second[name]]) for name in first})


def _table(
    rows: Sequence[Any], names: Sequence[str], fields: Sequence[Any], start: int, end: int, step: int
) -> Table:
    stamps = _stamps(_cells(rows, fields[0]), start, end, step)
    table: Table = {names[0]: stamps}
    for name, place in zip(names[1:], fields[1:], strict=True):
        texts = _cells(rows, place)
        values = _numbers(texts)
        if not np.isfinite(values).all():
            row = int(np.argmin(np.isfinite(values)))
            found = f"expected a finite number, found {texts[row]!r}"
            raise Malformed(f"row {iso(int(stamps[row]))}, column {name!r}: {found}")
        table[name] = values
    return _once(table)


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
    if all(type(text) is str and 0 < len(text) <= 15 for text in texts):
        joined = "".join(texts)
        if joined.isascii() and joined.isdigit():
            stamps = np.array(list(map(int, texts)), dtype=np.int64)
            if not ((stamps < start) | (stamps >= end) | (stamps % step != 0)).any():
                return stamps
    # One of them is strange: go through them one by one and name it.
    return np.array([_stamp(text, start, end, step) for text in texts], dtype=np.int64)


def _numbers(texts: list[Any]) -> NDArray[np.float64]:
    """Return the numbers that texts spell, NaN for one that spells none."""
    if all(type(text) is str for text in texts):
        with contextlib.suppress(ValueError):
            return np.array(list(map(float, texts)), dtype=np.float64)
    return np.array([_number(text) for text in texts], dtype=np.float64)


def _stamp(text: Any, start: int, end: int, step: int) -> int:
    digits = str(text)
    if not digits.isascii() or not digits.isdigit() or len(digits) > 15:
        raise Malformed(f"expected a timestamp in ms, found {digits[:40]!r}")
    stamp = int(digits)
    if not start <= stamp < end:
        raise Malformed(
            f"a row at {digits} ms, outside the window {iso(start)} to {iso(end)} that was asked for"
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


def _check_market(found: Any, market: str) -> None:
    if found != market:
        raise Malformed(f"expected rows of {market}, found {found!r}")


def _refuse(table: Table, wrong: NDArray[np.bool_], what: str) -> None:
    if wrong.any():
        raise Malformed(f"row {iso(int(table['timestamp'][np.argmax(wrong)]))}: {what}")
