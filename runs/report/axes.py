"""Ticks of chart axes: round numbers for values, calendar marks for UTC time."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

__all__ = ["Tick", "time_ticks", "value_ticks"]

# (pandas frequency, its length in seconds, label, pixels needed by the widest such label)
_STEPS = (
    ("1min", 60, "%H:%M", 84),
    ("5min", 300, "%H:%M", 84),
    ("15min", 900, "%H:%M", 84),
    ("1h", 3600, "%H:%M", 84),
    ("3h", 3 * 3600, "%H:%M", 84),
    ("6h", 6 * 3600, "%H:%M", 84),
    ("12h", 12 * 3600, "%d %b %H:%M", 112),
    ("1D", 86400, "%d %b", 76),
    ("2D", 2 * 86400, "%d %b", 76),
    ("7D", 7 * 86400, "%d %b", 76),
    ("14D", 14 * 86400, "%d %b", 76),
    ("MS", 30 * 86400, "%b", 58),
    ("2MS", 61 * 86400, "%b", 58),
    ("QS", 91 * 86400, "%b", 58),
    ("2QS", 182 * 86400, "%b", 58),
    ("YS", 365 * 86400, "%Y", 44),
    ("2YS", 730 * 86400, "%Y", 44),
    ("5YS", 1826 * 86400, "%Y", 44),
)


@dataclass(frozen=True)
class Tick:
    """A mark on an axis: its position in data units, and its text."""

    at: float
    text: str


def value_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return about `count` round numbers within [low, high]."""
    step = _round_step((high - low) / max(count, 1))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [k * step for k in range(first, last + 1)]


def time_ticks(start: int, end: int, pixels: float) -> list[Tick]:
    """Return the calendar marks within [start, end] UTC ms that fit; the year is shown where it changes."""
    seconds = max(end - start, 1) / 1000
    fitting = (step for step in _STEPS if step[1] / seconds * pixels >= step[3])
    frequency, _, pattern, _ = next(fitting, _STEPS[-1])
    first = pd.Timestamp(start, unit="ms").floor(
        "min" if "min" in frequency else "h" if "h" in frequency else "D"
    )
    if "S" in frequency:
        first = first.normalize().replace(day=1)
    if "YS" in frequency or "QS" in frequency:
        first = first.replace(month=1)
    elif "h" in frequency or "min" in frequency:
        first = first.normalize()
    marks = pd.date_range(first, pd.Timestamp(end, unit="ms"), freq=frequency)
    times = np.asarray(marks.astype("datetime64[ms]").astype("int64"))
    inside = [(int(at), mark) for at, mark in zip(times, marks, strict=True) if start <= at <= end]
    return [
        Tick(at, _label(mark, pattern, inside[i - 1][1] if i else None))
        for i, (at, mark) in enumerate(inside)
    ]


def _label(mark: pd.Timestamp, pattern: str, before: pd.Timestamp | None) -> str:
    """Return the text of a mark, with the parts of the date that changed since the previous mark."""
    if pattern == "%H:%M" and (before is None or before.date() != mark.date()):
        pattern = "%d %b %H:%M"
    if "%Y" not in pattern and (before is None or before.year != mark.year):
        pattern = pattern.replace("%b", "%b %Y")
    return mark.strftime(pattern).lstrip("0") if pattern.startswith("%d") else mark.strftime(pattern)


def _round_step(raw: float) -> float:
    """Return the smallest of 1, 2, 2.5, 5 x 10^k that is not below `raw`."""
    if not (math.isfinite(raw) and raw > 0):
        return 1.0
    power = 10.0 ** math.floor(math.log10(raw))
    return next(factor * power for factor in (1.0, 2.0, 2.5, 5.0, 10.0) if factor * power >= raw * (1 - 1e-9))
