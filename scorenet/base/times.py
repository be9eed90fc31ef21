"""Instants as UTC milliseconds, as ISO text, and as Backtrader's float days."""

from __future__ import annotations

import datetime as dt
import time
from typing import Any

__all__ = ["DAY_MS", "EPOCH_DAY", "float_days", "iso", "utc_now", "wall_ms", "whole_ms"]

DAY_MS = 86_400_000

EPOCH_DAY = 719_163
"""The number that Backtrader gives to 1970-01-01; it counts days from 0001-01-01 = 1."""


def iso(ms: int) -> str:
    """Return UTC ms as ISO text, e.g. "2024-07-01T00:00:00Z"."""
    instant = dt.datetime.fromtimestamp(ms // 1000, tz=dt.UTC)
    fraction = f".{ms % 1000:03d}" if ms % 1000 else ""
    return f"{instant:%Y-%m-%dT%H:%M:%S}{fraction}Z"


def utc_now() -> str:
    """Return the current time as ISO text, UTC, in whole seconds."""
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def wall_ms() -> int:
    """Return the time of this machine's clock, UTC ms: a label, because that clock may jump."""
    return time.time_ns() // 1_000_000


def float_days(ms: Any) -> Any:
    """Convert UTC ms, a number or an array, to Backtrader's float days."""
    # Days and the rest are converted separately: a single division would be off by one ulp at some bars.
    return ms // DAY_MS + EPOCH_DAY + (ms % DAY_MS) / DAY_MS


def whole_ms(days: float) -> int:
    """Convert Backtrader's float days to UTC ms, rounded to seconds, the precision of a float day."""
    return round((days - EPOCH_DAY) * 86_400) * 1000
