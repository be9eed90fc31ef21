"""Detect drift away from the calibration span: the population stability index, and a sequential test of ranks.

References:
    Testing Exchangeability On-Line (Vovk, Nouretdinov & Gammerman, 2003).
    Retrain or Not Retrain: Conformal Test Martingales for Change-Point Detection (Vovk et al., 2021), arXiv 2102.10439.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["DriftAlarm", "first_alarm", "population_stability"]

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
