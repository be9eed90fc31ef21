"""Detect drift away from the calibration span: a stability index, a sequential test of ranks, a test of rejections.

References:
    Testing Exchangeability On-Line (Vovk, Nouretdinov & Gammerman, 2003).
    Retrain or Not Retrain: Conformal Test Martingales for Change-Point Detection (Vovk et al., 2021), arXiv 2102.10439.
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np
from numpy.typing import NDArray

__all__ = ["DriftAlarm", "RejectionAlarm", "first_alarm", "population_stability"]

Array = NDArray[np.float64]

_TILTS = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
_JUMP = 0.01
_CEILING = 1e100  # an upper limit on the capital; a year of drift would overflow without it


def population_stability(rank: Array, bins: int = 10) -> float:
    """Return the population stability index of ranks [N] against the uniform distribution.

    By convention, below 0.1 is no shift and above 0.25 is a large one.
    """
    counts = np.histogram(rank, bins=bins, range=(0.0, 1.0))[0]
    share = (counts + 0.5) / (counts.sum() + 0.5 * bins)  # half a row per bin keeps empty bins finite
    return float(((share - 1 / bins) * np.log(share * bins)).sum())


class DriftAlarm:
    """Sequential test that density ranks are uniform, by a conformal test martingale.

    This is the simple jumper martingale: five betting strategies, each for smaller or larger ranks, exchange capital at
    a small rate. On exchangeable ranks the probability that the total capital ever reaches 1 / p is at most p, so an
    alarm at 1 / `false_alarm` is wrong with at most that probability. Ranks of neighbouring bars are dependent, so only
    one bar in `every` is used.
    """

    def __init__(self, false_alarm: float = 0.01, every: int = 24) -> None:
        if not 0.0 < false_alarm < 1.0:
            raise ValueError(f"false_alarm: expected a probability between 0 and 1, found {false_alarm}")
        if every < 1:
            raise ValueError(f"every: expected at least 1 bar, found {every}")
        self.limit, self.every = 1.0 / false_alarm, every
        self._capital = np.full(len(_TILTS), 1.0 / len(_TILTS))
        self._bars = 0

    @property
    def capital(self) -> float:
        """Evidence against exchangeability; starts at 1."""
        return float(self._capital.sum())

    def update(self, rank: float) -> bool:
        """Add one bar's rank; return whether the capital has reached the limit."""
        self._bars += 1
        if self._bars % self.every == 0 and np.isfinite(rank):
            mixed = (1 - _JUMP) * self._capital + _JUMP * self._capital.mean()
            self._capital = np.minimum(mixed * (1.0 + _TILTS * (rank - 0.5)), _CEILING)
        return self.capital >= self.limit


def first_alarm(rank: Array, *, false_alarm: float = 0.01, every: int = 24) -> int | None:
    """Return the index of the first rank [T] at which a `DriftAlarm` goes off, or None."""
    alarm = DriftAlarm(false_alarm, every)
    return next((t for t, value in enumerate(rank) if alarm.update(float(value))), None)


class RejectionAlarm:
    """Test whether more of the last `window` bars are rejected than the level says; the alarm ends when they are not.

    It is a binomial test of the share of rejected bars. Neighbouring ranks are dependent, so the window counts as
    window / `every` independent bars: at any one bar the alarm is false with at most the probability `false_alarm`.

    Attributes:
        limit: number of rejected bars in the window at which the alarm goes off.

    Raises:
        ValueError: no share of rejected bars in such a window would be significant.
    """

    def __init__(
        self, level: float = 0.05, window: int = 720, false_alarm: float = 0.01, every: int = 24
    ) -> None:
        if not 0.0 < level < 1.0:
            raise ValueError(
                f"expected a share of rejected bars between 0 and 1 to compare with, found {level}"
            )
        if not 0.0 < false_alarm < 1.0:
            raise ValueError(f"expected a probability of a false alarm between 0 and 1, found {false_alarm}")
        independent = window // every
        tail, count = 1.0, 0  # P(at least `count` of the independent bars are rejected)
        while tail > false_alarm and count <= independent:
            tail -= math.comb(independent, count) * level**count * (1.0 - level) ** (independent - count)
            count += 1
        if count > independent:
            raise ValueError(
                f"a window of {window} bars, {independent} of them independent, is too short to find more than "
                f"{level:g} rejected with a false alarm of {false_alarm:g}; use a longer window"
            )
        self.limit = math.ceil(count * window / independent)
        self._recent = deque([False] * window, window)
        self._rejected = 0

    def update(self, rejected: bool) -> bool:
        """Add one bar; return whether the alarm is on."""
        self._rejected += rejected - self._recent[0]
        self._recent.append(rejected)
        return self._rejected >= self.limit
