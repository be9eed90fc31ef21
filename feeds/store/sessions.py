"""Stored bars of markets with sessions: the folder is named after the calendar, so whoever reads them knows it."""

import re
from pathlib import Path

import pandas as pd

from ..bars.frame import as_bars
from ..errors import BadSource, MissingData
from .damage import check_whole
from .keys import SeriesKey
from .series_store import read_series, series_info

__all__ = ["CALENDAR", "calendar_folder", "calendar_of", "sessions_frame"]

CALENDAR = re.compile(r"[A-Z]{4}")
"""Names of exchanges, ISO 10383; the store keeps bars of these."""
_FOREVER = 1 << 62


def calendar_folder(calendar: str) -> str:
    """Return the folder of a calendar's bars in the store, in place of an exchange: "xnys".

    Raises:
        BadSource: the calendar is not that of an exchange.
    """
    if not CALENDAR.fullmatch(calendar):
        raise BadSource(
            f"the store keeps bars of exchanges such as XNYS, and {calendar} is none; use the file itself as the "
            f"source: --bars FILE --calendar {calendar}"
        )
    return calendar.lower()


def calendar_of(folder: str) -> str | None:
    """Return the calendar of a folder of the store, None for that of an exchange that never closes."""
    return folder.upper() if len(folder) == 4 else None


def sessions_frame(data_dir: str | Path, calendar: str, symbol: str, timeframe: str) -> pd.DataFrame:
    """Return all stored bars of a symbol on a calendar as a canonical frame; gaps stay.

    Raises:
        MissingData: none are stored, or a file is damaged; the message has the command that imports them.
        BadSource, ConfigError: the calendar is none of an exchange, or exchange_calendars is not installed.
    """
    key = SeriesKey(calendar_folder(calendar), symbol, timeframe)
    columns = read_series(data_dir, key, 0, _FOREVER).columns
    importing = f"scorenet data import FILE --symbol {symbol} --timeframe {timeframe} --calendar {calendar}"
    what = f"{timeframe} bars of {symbol} on {calendar}"
    check_whole(
        series_info(data_dir, key), 0, _FOREVER, what, lambda low, high: f"import them again: {importing}"
    )
    if not len(columns["timestamp"]):
        raise MissingData(f"no {what} are stored in {data_dir}; import them: {importing}")
    return as_bars(
        pd.DataFrame(dict(columns)),
        symbol=symbol,
        timeframe=timeframe,
        gaps="keep",
        source=f"{calendar}:{symbol}@{timeframe}",
        calendar=calendar,
    )
