"""What the spacing of bars says: stretches of another bar size, and markets that rest at weekends."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..timeframes import TIMEFRAMES, to_ms

__all__ = ["Stretch", "other_sizes", "rests_at_weekends"]

_LEAST = 24
"""Equal spacings in a row that are another bar size; in a market without trades, spacings differ."""
_DAY = 86_400_000
_WEEKDAYS_SEEN = 0.8
_LEAST_WEEKS = 2


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """`bars` bars of size `timeframe`, from open time `start` up to and including `end` (UTC ms)."""

    timeframe: str
    start: int
    end: int
    bars: int


def other_sizes(
    times: NDArray[np.int64], step: int, trading: NDArray[np.int64] | None = None
) -> list[Stretch]:
    """Return the stretches of `times` (open times [T], UTC ms) whose bars are longer than `step` ms.

    `trading` [T] is the trading time of a market with sessions, in which bars are spaced.
    """
    spacing = np.diff(times if trading is None else trading)
    if len(spacing) < _LEAST:
        return []
    names = {to_ms(name): name for name in TIMEFRAMES if to_ms(name) > step}
    edges = np.flatnonzero(np.diff(spacing)) + 1
    found = []
    for first, end in zip(np.r_[0, edges], np.r_[edges, len(spacing)], strict=True):
        size = int(spacing[first])
        if end - first >= _LEAST and size in names:
            start, last = int(times[first]), int(times[end])
            found.append(Stretch(timeframe=names[size], start=start, end=last, bars=int(end - first) + 1))
    return found


def rests_at_weekends(times: NDArray[np.int64]) -> bool:
    """Return whether bars (open times [T], UTC ms) are there on weekdays and never on a Saturday."""
    if len(times) == 0 or times[-1] - times[0] < 7 * _LEAST_WEEKS * _DAY:
        return False
    days = np.unique(times // _DAY)
    weekday = (days + 3) % 7  # 1970-01-01 was a Thursday
    span = np.arange(days[0], days[-1] + 1)
    weekdays = int(((span + 3) % 7 < 5).sum())
    # Futures and currencies open on Sunday evening; none is open on a Saturday.
    return bool(not (weekday == 5).any() and (weekday < 5).sum() >= _WEEKDAYS_SEEN * weekdays)
