"""Times as programs and spreadsheets write them, as UTC; a time with two readings is an error."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...errors import BadBars
from .hints import Hints

__all__ = ["local_midnight", "naive_error", "numbers_to_utc", "to_utc"]

_UNITS = {
    "s": (10**8, 10**10),
    "ms": (10**11, 10**13),
    "us": (10**14, 10**16),
    "ns": (10**17, 9 * 10**18),
}  # 1973 to 2286 in each
_UNIT_NAMES = {
    "s": "seconds since 1970",
    "ms": "milliseconds since 1970",
    "us": "microseconds since 1970",
    "ns": "nanoseconds since 1970",
}
_NO_UNIT = "is no time between 1973 and 2286 in seconds, milliseconds, microseconds or nanoseconds"
_TO_MS = {"s": (1000, 1), "ms": (1, 1), "us": (1, 1000), "ns": (1, 1_000_000)}
_ZONED = re.compile(r"(?:[Zz]|UTC|GMT|[+-]\d\d:?\d\d)\s*$")
_NUMBER = re.compile(r"\d+(?:\.0*)?")
_ROUNDED = re.compile(r"\d\.\d+[eE]\+?\d+")
_SLASHED = re.compile(r"(\d{1,2})([/.-])(\d{1,2})\2(\d{4})\b(.*)")
_CLOCK = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I-%p", " %I:%M %p", " %I:%M:%S %p")
_DATES = ("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d", "%d-%b-%Y", "%d %b %Y", "%b %d, %Y", "%B %d, %Y")

Cells = NDArray[np.object_]


def to_utc(cells: Cells, column: str, hints: Hints) -> tuple[NDArray[np.int64], str]:
    """Return texts of times as UTC ms [T], and in words how they were read.

    Raises:
        BadBars: a time is missing, unknown, or has two readings; the message says what a person must add.
    """
    if all(
        isinstance(cell, str) and 8 < len(cell) < 20 and cell.isdecimal() and cell.isascii() for cell in cells
    ):
        return numbers_to_utc(cells.astype(np.uint64), column)
    texts = [cell.strip() if isinstance(cell, str) else "" for cell in cells]
    for row, text in enumerate(texts):
        if not text:
            raise _bad(row, column, "the time is missing", "nan")
        if _ROUNDED.fullmatch(text):
            what = f"{text} is rounded, as spreadsheets do; export the file again with whole numbers"
            raise _bad(row, column, what, "unit")
    numbers = [bool(_NUMBER.fullmatch(text)) for text in texts]
    if numbers[0] and not all(numbers):  # a second header, a sum below the last row
        row = numbers.index(False)
        raise _bad(row, column, f"{texts[row]!r} is not written as the times before it", "unit")
    if all(numbers) and not all(len(text) == 8 for text in texts):
        whole = [text.partition(".")[0] for text in texts]
        long = next((row for row, text in enumerate(whole) if len(text) > 19), None)
        if long is not None:
            raise _bad(long, column, f"{whole[long][:30]} {_NO_UNIT}", "unit")
        return numbers_to_utc(np.array([int(text) for text in whole], dtype=np.uint64), column)
    zoned = [bool(_ZONED.search(text)) and len(text) > 10 for text in texts]
    if all(zoned):
        return _from_zoned(texts, column, hints)
    if any(zoned):
        raise _bad(zoned.index(False), column, f"{texts[zoned.index(False)]} has no time zone", "naive")
    return _from_local(texts, column, hints)


def naive_error(column: str, shown: str) -> BadBars:
    """Return the error for times without a zone."""
    return BadBars(
        f"row 0, column {column!r}: {shown} has no time zone", row=0, column=column, reason="naive"
    )


def numbers_to_utc(numbers: NDArray[Any], column: str) -> tuple[NDArray[np.int64], str]:
    """Return whole numbers since 1970 as UTC ms [T], and their unit in words; the units' ranges do not meet.

    Raises:
        BadBars: a number is in none of the units, or in another than the first.
    """
    unit = next((name for name, (low, high) in _UNITS.items() if low <= numbers[0] < high), None)
    if unit is None:
        raise _bad(0, column, f"{numbers[0]} {_NO_UNIT}", "unit")
    low, high = _UNITS[unit]
    wrong = np.flatnonzero((numbers < low) | (numbers >= high))
    if wrong.size:
        row = int(wrong[0])
        what = (
            f"{numbers[row]} is not in {_UNIT_NAMES[unit]}, as the rows before it are; split the file there"
        )
        raise _bad(row, column, what, "unit")
    times, (factor, per) = numbers.astype(np.int64), _TO_MS[unit]
    off = np.flatnonzero(times % per)
    if off.size:
        raise _bad(
            int(off[0]), column, f"{times[int(off[0])]} is not on a whole millisecond", "misaligned_unit"
        )
    return times // per * factor, _UNIT_NAMES[unit]


def _from_zoned(texts: list[str], column: str, hints: Hints) -> tuple[NDArray[np.int64], str]:
    stamps = []
    for row, text in enumerate(texts):
        plain = re.sub(r"\s*(?:UTC|GMT|[Zz])\s*$", "+00:00", text)
        try:
            stamps.append(dt.datetime.fromisoformat(plain))
        except ValueError:
            raise _bad(row, column, f"{text!r} is no time that is known", "unit") from None
    if any(stamp.utcoffset() for stamp in stamps) and all(_midnight(stamp) for stamp in stamps):
        if hints.dates == "days":
            return _ms([stamp.replace(tzinfo=dt.UTC) for stamp in stamps]), "trading days"
        raise local_midnight(column, texts[0])
    return _ms(stamps), "times with a zone"


def local_midnight(column: str, shown: str) -> BadBars:
    """Return the error for days that begin at midnight of another zone than UTC."""
    what = f"{shown} is midnight there and not in UTC; for trading days of an exchange, take each date as the day"
    return _bad(0, column, what, "misaligned")


def _from_local(texts: list[str], column: str, hints: Hints) -> tuple[NDArray[np.int64], str]:
    order = _order(texts, column, hints)
    parse = _parser(texts[0], order)
    if parse is None:
        raise _bad(
            0, column, f"{texts[0]!r} is no time that is known; write times as 2024-07-01T08:00Z", "unit"
        )
    stamps = []
    for row, text in enumerate(texts):
        stamp = parse(text)
        if stamp is None:
            raise _bad(row, column, f"{text!r} is not written as the times before it", "unit")
        stamps.append(stamp)
    words = {"dmy": ", day first", "mdy": ", month first"}.get(order or "", "")
    days = all(_midnight(stamp) for stamp in stamps)
    # A bar of a day or more may be given by its date; a time of day needs a zone.
    if days and hints.timezone is None and not re.search(r"\d[:]\d", texts[0]):
        return _ms([stamp.replace(tzinfo=dt.UTC) for stamp in stamps]), f"dates{words}"
    if hints.timezone is None:
        raise naive_error(column, texts[0])
    return _localised(stamps, column, hints.timezone), f"times in {hints.timezone}{words}"


def _order(texts: list[str], column: str, hints: Hints) -> str | None:
    """Return whether dates such as 01/02/2024 begin with the day or the month; None for other dates."""
    parts = [_SLASHED.fullmatch(text) for text in texts]
    if parts[0] is None:
        return None
    row = next((row for row, part in enumerate(parts) if part is None), None)
    if row is not None:
        raise _bad(row, column, f"{texts[row]!r} is not written as the times before it", "unit")
    firsts, seconds = ([int(part[group]) for part in parts if part] for group in (1, 3))
    day_first, month_first = max(firsts) > 12, max(seconds) > 12
    if day_first and month_first:
        raise _bad(0, column, "some dates begin with the day and some with the month", "date_order")
    proven = "dmy" if day_first else "mdy" if month_first else None
    asked = hints.dates if hints.dates in ("dmy", "mdy") else None
    if proven and asked and proven != asked:
        row = int(np.argmax(firsts if day_first else seconds))
        raise _bad(row, column, f"{texts[row]} cannot be read as {asked}", "date_order")
    if not (proven or asked):
        what = f"{texts[0]} can be day and month or month and day, and no date of the file says which"
        raise _bad(0, column, what, "date_order")
    return proven or asked


def _parser(text: str, order: str | None) -> Callable[[str], dt.datetime | None] | None:
    """Return what reads a text of this form, and all others of the same form."""
    mark = next((m for m in "/.-" if m in text), "-")
    slashed = {"dmy": mark.join(("%d", "%m", "%Y")), "mdy": mark.join(("%m", "%d", "%Y"))}
    dates = (slashed[order],) if order else _DATES
    for form in (date + clock for date in dates for clock in _CLOCK):
        for shape in (form, form.replace(" ", "T", 1)):
            if _parsed(text, shape) is not None:
                return lambda other, shape=shape: _parsed(other, shape)  # type: ignore[misc]
    return None


def _parsed(text: str, form: str) -> dt.datetime | None:
    try:
        return dt.datetime.strptime(text, form)  # noqa: DTZ007 - the zone is added by the caller
    except ValueError:
        return None


def _localised(stamps: list[dt.datetime], column: str, zone: str) -> NDArray[np.int64]:
    try:
        index = pd.DatetimeIndex(stamps).tz_localize(ZoneInfo(zone)).tz_convert("UTC")
    except ValueError as error:
        raise _bad(None, column, _changed_clocks(stamps, zone), "clock_change") from error
    return index.as_unit("ms").asi8.astype(np.int64)


def _changed_clocks(stamps: list[dt.datetime], zone: str) -> str:
    """Return which time a zone has twice or never."""
    for stamp in stamps:
        offsets = {stamp.replace(tzinfo=ZoneInfo(zone), fold=fold).utcoffset() for fold in (0, 1)}
        if len(offsets) > 1:
            break
    return (
        f"a time does not exist once in {zone}: {stamp:%Y-%m-%d %H:%M} is there twice or never, because clocks were "
        "changed; write times with their offset, or as 2024-07-01T08:00Z"
    )


def _midnight(stamp: dt.datetime) -> bool:
    return stamp.time() == dt.time(0)


def _ms(stamps: list[dt.datetime]) -> NDArray[np.int64]:
    start, step = dt.datetime(1970, 1, 1, tzinfo=dt.UTC), dt.timedelta(milliseconds=1)
    return np.array([(stamp - start) // step for stamp in stamps], dtype=np.int64)


def _bad(row: int | None, column: str, what: str, reason: str) -> BadBars:
    where = f"column {column!r}" if row is None else f"row {row}, column {column!r}"
    return BadBars(f"{where}: {what}", row=row, column=column, reason=reason)
