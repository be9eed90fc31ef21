"""The open times of bars on a trading calendar: what a file's stamps mean, and which of them are no open of a bar."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scorenet.base.times import DAY_MS
from scorenet.calendars import clock_of, exchange_schedule

from ...errors import BadBars
from ..timeframes import from_ms
from ..times import iso

__all__ = ["session_opens"]

Times = NDArray[np.int64]


def session_opens(times: Times, step: int, calendar: str) -> Times:
    """Return the open times [T] (UTC ms) of bars that a file stamps `times` [T], on a calendar.

    A daily bar opens at 00:00 UTC of its session's date; a file may stamp it so, at midnight of the exchange, or within
    the session. Other bars are counted from the open of their session.

    Raises:
        BadBars: a time is outside the sessions, or two daily bars are of one session.
    """
    if step < DAY_MS:
        off = np.flatnonzero(~clock_of(calendar, step).is_open(times))
        if off.size:
            raise _no_open(times, off, step, calendar)
        return times
    days = exchange_schedule(calendar).days_of(times)
    off = np.flatnonzero(days < 0)
    if off.size:
        raise _no_session(times, off, calendar)
    again = np.flatnonzero(np.diff(days) <= 0)
    if again.size:
        row = int(again[0]) + 1
        what = f"a second bar of the session {iso(int(days[row]))[:10]} of {calendar}; keep one bar a session"
        raise _bad(row, times, what, "session_twice")
    return days


def _no_session(times: Times, off: Times, calendar: str) -> BadBars:
    row = int(off[0])
    return _bad(row, times, f"{calendar} has no session on this day{_more(off)}; {_ADVICE}", "no_session")


def _no_open(times: Times, off: Times, step: int, calendar: str) -> BadBars:
    row, clock = int(off[0]), clock_of(calendar, step)
    before = clock.open_at(clock.trading_ms([times[row]]) // step * step)
    size = from_ms(step)
    what = (
        f"no bar of {size} opens at this time on {calendar}{_more(off)}: bars are counted from the open of a session, "
        f"and one opens at {iso(int(before[0]))}; {_ADVICE}"
    )
    return _bad(row, times, what, "no_session")


_ADVICE = "drop the rows outside trading hours, or name the calendar of this market"


def _more(off: Times) -> str:
    return f", and {len(off) - 1:,} rows more" if len(off) > 1 else ""


def _bad(row: int, times: Times, what: str, reason: str) -> BadBars:
    time = int(times[row])
    return BadBars(
        f"row {row} ({iso(time)}), column 'timestamp': {what}",
        row=row,
        column="timestamp",
        timestamp=time,
        reason=reason,
    )
