"""Trading time: UTC ms with the closed hours cut out, so that bars that follow one another are one bar size apart.

Every question "are these bars next to each other" is asked of this time. In a market that never closes it is UTC ms
itself. A session is counted from its open in whole bars: the last bar of a session may trade for a shorter time, but it
counts, and is stamped, as a whole one. Daily bars are one a session, from 00:00 UTC of the session's date to 00:00 UTC
of the next day, wherever the exchange is.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..base.times import DAY_MS, iso
from ..errors import ConfigError

__all__ = ["AlwaysOpen", "Clock", "TradingClock"]

Times = NDArray[np.int64]

_YEAR_DAYS = 365
# Ten years over which bars a year are counted: fixed, so that a figure does not change with the day it is computed on.
_FROM, _UNTIL = 1_262_304_000_000, 1_577_836_800_000  # 2010-01-01, 2020-01-01


@dataclass(frozen=True)
class AlwaysOpen:
    """The clock of a market that never closes: trading time is UTC ms, bars open at multiples of their size.

    Attributes:
        step_ms: bar size in ms.
    """

    step_ms: int
    calendar: None = None

    @property
    def bars_per_year(self) -> float:
        """Return the number of bars in 365 days."""
        return _YEAR_DAYS * DAY_MS / self.step_ms

    @property
    def days_per_year(self) -> float:
        """Return the number of UTC days with a bar in 365 days."""
        return float(_YEAR_DAYS)

    def trading_ms(self, times: ArrayLike) -> Times:
        """Return the times [T] (UTC ms) as they are."""
        return np.asarray(times, dtype=np.int64)

    def open_at(self, trading: ArrayLike) -> Times:
        """Return the times [T] as they are."""
        return np.asarray(trading, dtype=np.int64)

    def is_open(self, times: ArrayLike) -> NDArray[np.bool_]:
        """Return [T] whether a bar opens at each time (UTC ms)."""
        return np.asarray(np.asarray(times, dtype=np.int64) % self.step_ms == 0)

    def opens(self, first: int, last: int) -> Times:
        """Return the opens of all bars from the one at `first` to the one at `last`, UTC ms [N]."""
        return np.arange(first, last + self.step_ms, self.step_ms, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class TradingClock:
    """The clock of a market with sessions, at one bar size; arrays are [S], ascending, UTC ms.

    Attributes:
        calendar: its name.
        step_ms: bar size in ms.
        begins: opens of the sessions.
        ends: ends of the sessions, a whole number of bars after their opens.
        starts: trading time of the opens: the sum of the lengths of the sessions before.
    """

    calendar: str
    step_ms: int
    begins: Times
    ends: Times
    starts: Times

    @classmethod
    def of(cls, calendar: str, step_ms: int, opens: ArrayLike, closes: ArrayLike) -> TradingClock:
        """Return the clock of sessions that open and close at these times (UTC ms) [S].

        Raises:
            ConfigError: bars of this size do not fit between two sessions.
        """
        begins, stops = np.asarray(opens, dtype=np.int64), np.asarray(closes, dtype=np.int64)
        lengths = -(-(stops - begins) // step_ms) * step_ms
        ends = begins + lengths
        over = np.flatnonzero(ends[:-1] > begins[1:])
        if over.size:
            at = int(over[0])
            raise ConfigError(
                f"calendar {calendar}: bars of {step_ms // 60_000} minutes do not fit its sessions: counted from the "
                f"open at {iso(int(begins[at]))}, the last one would end after the next session opens at "
                f"{iso(int(begins[at + 1]))}; use shorter bars, or bars of 1d"
            )
        starts = np.concatenate(([0], np.cumsum(lengths)[:-1]))
        return cls(calendar, int(step_ms), begins, ends, starts)

    @cached_property
    def bars_per_year(self) -> float:
        """Return the mean number of bars in 365 days, over 2010 to 2019 or over all sessions if they are later."""
        first, last = self._year_span
        bars = int(np.diff(self.trading_ms([first, last]))[0]) // self.step_ms
        return bars * _YEAR_DAYS * DAY_MS / (last - first)

    @cached_property
    def days_per_year(self) -> float:
        """Return the mean number of UTC days in which a bar closes, in 365 days; over the years of `bars_per_year`."""
        first, last = self._year_span
        low, high = self.trading_ms([first, last])
        closes = self.open_at(np.arange(low, high, self.step_ms)) + self.step_ms
        days = len(np.unique((closes - 1) // DAY_MS))
        return days * _YEAR_DAYS * DAY_MS / (last - first)

    @property
    def _year_span(self) -> tuple[int, int]:
        first, last = max(int(self.begins[0]), _FROM), min(int(self.ends[-1]), _UNTIL)
        whole = last - first >= _YEAR_DAYS * DAY_MS
        return (first, last) if whole else (int(self.begins[0]), int(self.ends[-1]))

    def trading_ms(self, times: ArrayLike) -> Times:
        """Return the trading time (ms) [T] of times (UTC ms) [T]; it stands still while the market is closed.

        Within a session of daily bars every time but its begin counts as its end: a file may stamp a day at any hour.
        """
        when = np.asarray(times, dtype=np.int64)
        session = np.maximum(np.searchsorted(self.begins, when, side="right") - 1, 0)
        since = when - self.begins[session]
        if self.step_ms >= DAY_MS:
            since = -(-since // self.step_ms) * self.step_ms
        passed: Times = self.starts[session] + np.minimum(since, self.ends[session] - self.begins[session])
        return passed

    def open_at(self, trading: ArrayLike) -> Times:
        """Return the UTC ms [T] at which bars open, from their trading time (ms) [T]: the inverse of `trading_ms`."""
        passed = np.asarray(trading, dtype=np.int64)
        session = np.maximum(np.searchsorted(self.starts, passed, side="right") - 1, 0)
        found: Times = self.begins[session] + passed - self.starts[session]
        return found

    def is_open(self, times: ArrayLike) -> NDArray[np.bool_]:
        """Return [T] whether a bar opens at each time (UTC ms)."""
        when = np.asarray(times, dtype=np.int64)
        session = np.searchsorted(self.begins, when, side="right") - 1
        known = np.maximum(session, 0)
        inside = (session >= 0) & (when < self.ends[known])
        return np.asarray(inside & ((when - self.begins[known]) % self.step_ms == 0))

    def opens(self, first: int, last: int) -> Times:
        """Return the opens of all bars from the one at `first` to the one at `last`, UTC ms [N]."""
        low, high = self.trading_ms([first, last])
        return self.open_at(np.arange(low, high + self.step_ms, self.step_ms))


Clock: TypeAlias = AlwaysOpen | TradingClock
