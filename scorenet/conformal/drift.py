"""Has the market left the calibration span? Two numbers for a span of ranks, and an alarm that can run for ever.

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
_CEILING = 1e100  # evidence enough; without it a year of drift would overflow


def population_stability(rank: Array, bins: int = 10) -> float:
    """Return the population stability index of ranks [N] against the uniform law: below 0.1 nothing has moved,
    above 0.25 much has.
    """
    counts = np.histogram(rank, bins=bins, range=(0.0, 1.0))[0]
    share = (counts + 0.5) / (counts.sum() + 0.5 * bins)  # half a row a bin keeps empty bins finite
    return float(((share - 1 / bins) * np.log(share * bins)).sum())


class DriftAlarm:
    """Bet against the uniformity of density ranks; the capital grows when the market is no longer the calibration's.

    The simple jumper martingale: five gamblers bet that ranks have become smaller or larger, and change their
    minds now and then. On exchangeable ranks the chance that the capital ever reaches 1 / p is at most p. Ranks of
    neighbouring bars are no independent draws: feed it one in `every` bars.
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
        """Evidence against "nothing has changed"; starts at 1."""
        return float(self._capital.sum())

    def update(self, rank: float) -> bool:
        """Take in one bar's rank; return whether the capital has reached the limit."""
        self._bars += 1
        if self._bars % self.every == 0 and np.isfinite(rank):
            mixed = (1 - _JUMP) * self._capital + _JUMP * self._capital.mean()
            self._capital = np.minimum(mixed * (1.0 + _TILTS * (rank - 0.5)), _CEILING)
        return self.capital >= self.limit


def first_alarm(rank: Array, *, false_alarm: float = 0.01, every: int = 24) -> int | None:
    """Return the first of successive ranks [T] at which a `DriftAlarm` goes off, or None."""
    alarm = DriftAlarm(false_alarm, every)
    return next((t for t, value in enumerate(rank) if alarm.update(float(value))), None)
