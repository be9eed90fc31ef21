"""Raw rows of an exchange's answer into columns, or a refusal that names the row.

ccxt passes on whatever it is sent: "NaN", "", negative numbers, rows of another symbol or outside the window.
Nothing here is repaired; an answer is right or it is asked for again.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from feeds.stamps import iso

__all__ = ["Malformed", "Table", "parse_funding", "parse_klines", "parse_open_interest", "unite"]

Table = dict[str, NDArray[Any]]

_PRICES = ("open", "high", "low", "close")


class Malformed(Exception):
    """Report an answer whose rows cannot be what was asked for."""


def parse_klines(result: dict[str, Any], market: str, start: int, end: int, step: int) -> Table:
    """Return the bars of an answer, oldest first: the columns of bars, each [N].

    Raises:
        Malformed: another market's answer, or a row outside [start, end), off the grid, or not a possible
        bar.
    """
    _check_market(result.get("symbol"), market)
    table = _table(result["list"], ("timestamp", *_PRICES, "volume"), range(6), start, end, step)
    _refuse(table, np.min([table[name] for name in _PRICES], axis=0) <= 0, "a price that is not positive")
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
    """Return the open interest (base units) of an answer, oldest first: timestamp, open_interest, each [N].

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
    stamps = [_stamp(_field(row, fields[0]), start, end, step) for row in rows]
    table: Table = {names[0]: np.array(stamps, dtype=np.int64)}
    for name, place in zip(names[1:], fields[1:], strict=True):
        texts = [_field(row, place) for row in rows]
        values = np.array([_number(text) for text in texts], dtype=np.float64)
        if not np.isfinite(values).all():
            row = int(np.argmin(np.isfinite(values)))
            found = f"expected a finite number, found {texts[row]!r}"
            raise Malformed(f"row {iso(stamps[row])}, column {name!r}: {found}")
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


def _field(row: Any, place: Any) -> Any:
    try:
        return row[place]
    except (KeyError, IndexError, TypeError) as error:
        raise Malformed(f"expected a row with {place!r}, found {str(row)[:80]}") from error


def _stamp(text: Any, start: int, end: int, step: int) -> int:
    digits = str(text)
    if not digits.isascii() or not digits.isdigit():
        raise Malformed(f"expected a timestamp in ms, found {text!r}")
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
    except ValueError:
        return math.nan


def _check_market(found: Any, market: str) -> None:
    if found != market:
        raise Malformed(f"expected rows of {market}, found {found!r}")


def _refuse(table: Table, wrong: NDArray[np.bool_], what: str) -> None:
    if wrong.any():
        raise Malformed(f"row {iso(int(table['timestamp'][np.argmax(wrong)]))}: {what}")
