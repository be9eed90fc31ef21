"""Trading calendars: when a market is open, and the time that counts only those hours."""

from .clock import AlwaysOpen, Clock, TradingClock
from .registry import canonical_name, clock_of
from .schedule import Schedule, exchange_schedule

__all__ = [
    "AlwaysOpen",
    "Clock",
    "Schedule",
    "TradingClock",
    "canonical_name",
    "clock_of",
    "exchange_schedule",
]
