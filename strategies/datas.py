"""Facts about a Backtrader data: its name, its bar size and its times."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import backtrader as bt
import numpy as np

from scorenet.base.times import DAY_MS, EPOCH_DAY, whole_ms
from scorenet.calendars import Clock, clock_of

__all__ = [
    "HALF_SECOND",
    "bar_milliseconds",
    "bar_name",
    "clock_of_strategy",
    "mark_line",
    "periods_per_year",
    "symbol_of",
    "to_milliseconds",
    "trading_days",
]

HALF_SECOND = 0.5 / 86_400.0
"""Half a second in Backtrader's dates: two of them that differ by less are the same time."""

_UNITS = (("d", DAY_MS), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1))
_YEAR_MS = 365 * DAY_MS
_FRAME_MS = {
    bt.TimeFrame.Seconds: 1_000,
    bt.TimeFrame.Minutes: 60_000,
    bt.TimeFrame.Days: DAY_MS,
    bt.TimeFrame.Weeks: 7 * DAY_MS,
}


def symbol_of(data: Any) -> str:
    """Return the name of a data; `data1`, `data2`, ... if it was added without a name."""
    return data._name or f"data{data._id}"


def to_milliseconds(dates: Any) -> np.ndarray:
    """Convert Backtrader's float dates [N] to UTC ms, int64 [N], rounded to the second."""
    # Float dates are accurate to about 10 microseconds only, so equal times must be rounded before they are compared.
    return np.rint((np.asarray(dates, dtype=np.float64) - EPOCH_DAY) * 86_400.0).astype(np.int64) * 1_000


def bar_milliseconds(data: Any) -> int:
    """Return the bar size of a data in ms: its attribute `bar_ms`, else its timeframe times its compression.

    Raises:
        ValueError: the timeframe has no fixed length (ticks, months, years).
    """
    own = getattr(data, "bar_ms", None)
    if own:
        return int(own)
    frame = _FRAME_MS.get(data._timeframe)
    if frame is None:
        name = bt.TimeFrame.getname(data._timeframe, data._compression)
        raise ValueError(
            f"{symbol_of(data)}: a figure per year needs bars of a fixed length, found timeframe {name}; "
            "set timeframe to Seconds, Minutes, Days or Weeks on the data"
        )
    return frame * int(data._compression)


def bar_name(bar_ms: int) -> str:
    """Return a bar size as text: "1h", "15m", "1d"."""
    unit, length = next(pair for pair in _UNITS if bar_ms % pair[1] == 0)
    return f"{bar_ms // length}{unit}"


def periods_per_year(bar_ms: float, clock: Clock | None = None) -> float:
    """Return the number of bars of `bar_ms` in 365 days: of 24 hours, or of the sessions of a `clock` of that size."""
    return _YEAR_MS / bar_ms if clock is None or clock.calendar is None else clock.bars_per_year


def trading_days(clock: Clock) -> Callable[[float], float] | None:
    """Return what converts a Backtrader date to trading time in days; None for a market that never closes."""
    if clock.calendar is None:
        return None
    return partial(_trading_days, clock)  # not a lambda: Cerebro may pickle a strategy


def _trading_days(clock: Clock, date: float) -> float:
    return float(clock.trading_ms(whole_ms(date))) / DAY_MS


def clock_of_strategy(strategy: Any) -> Clock | None:
    """Return the clock of the calendar that a strategy's model has, or else its first data; None without one."""
    own: Clock | None = getattr(strategy, "trading_clock", None)
    if own is not None:
        return own if own.calendar else None
    calendar = getattr(strategy.datas[0], "calendar", None)
    return clock_of(calendar, bar_milliseconds(strategy.datas[0])) if calendar else None


def mark_line(data: Any) -> Any:
    """Return the line of prices at which an account values a position at a bar's close: its mark price, if any."""
    lines = data.lines
    marked = all(hasattr(lines, f"mark_{name}") for name in ("open", "high", "low", "close"))
    return lines.mark_close if marked else lines.close
