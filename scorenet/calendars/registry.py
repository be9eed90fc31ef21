"""The clock of a calendar at a bar size, by name: built once in a process."""

from __future__ import annotations

from functools import lru_cache

from ..base.times import DAY_MS
from .clock import AlwaysOpen, Clock, TradingClock
from .schedule import exchange_schedule, resolve

__all__ = ["canonical_name", "clock_of"]


def canonical_name(calendar: str | None) -> str | None:
    """Return the name that models, frames and the store give to a calendar; None, for a market that never closes.

    Raises:
        ConfigError: there is no such calendar, or exchange_calendars is not installed.
    """
    return None if calendar is None else resolve(calendar)


@lru_cache(maxsize=64)
def clock_of(calendar: str | None, step_ms: int) -> Clock:
    """Return the clock of a calendar for bars of `step_ms`; None is a market that never closes.

    Raises:
        ConfigError: there is no such calendar, exchange_calendars is not installed, or the bars do not fit its
            sessions.
    """
    if calendar is None:
        return AlwaysOpen(step_ms)
    schedule = exchange_schedule(calendar)
    if step_ms >= DAY_MS:
        return TradingClock.of(schedule.name, step_ms, schedule.days, schedule.days + DAY_MS)
    return TradingClock.of(schedule.name, step_ms, *schedule.parts)
