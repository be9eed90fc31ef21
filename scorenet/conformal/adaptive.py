"""Conformal gates under drift: ranks in a moving window, and a threshold that answers for its own errors.

A split-conformal rank keeps its promise while the market stays exchangeable with the calibration span. When it does
not, these two give the promise up for a weaker one that needs no such thing: whatever comes, the share of rejected
bars over T bars differs from the level by at most 1 / (rate T). Both look back only: what they say at a bar
depends on bars up to that one.

References:
    Adaptive Conformal Inference Under Distribution Shift (Gibbs & Candes, 2021), arXiv 2106.00170.
    Conformal Prediction Under Covariate Shift and Beyond Exchangeability (Barber et al., 2023), arXiv 2202.13415.
"""

from __future__ import annotations

import bisect
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .calibration import Calibration

__all__ = ["AdaptiveGate", "GateHistory", "RollingRank", "adaptive_gate"]

Array = NDArray[np.float64]


class RollingRank:
    """Rank each log-density among the `window` values before it; the calibration table fills the window at first."""

    def __init__(self, calibration: Calibration, window: int) -> None:
        if window < 2:
            raise ValueError(f"window: expected at least 2 bars, found {window}")
        # The table is sorted: a spread of it enters, and leaves in an order that has nothing to do with size.
        first = calibration.log_density[
            np.linspace(0, len(calibration.log_density) - 1, window).round().astype(int)
        ]
        self._queue = deque(np.random.default_rng(0).permutation(first).tolist())
        self._sorted = sorted(self._queue)

    def update(self, log_density: float) -> float:
        """Return the rank of this bar's log-density, in (0, 1], then let the bar into the window."""
        rank = (bisect.bisect_right(self._sorted, log_density) + 1) / (len(self._sorted) + 1)
        del self._sorted[bisect.bisect_left(self._sorted, self._queue.popleft())]
        self._queue.append(log_density)
        bisect.insort(self._sorted, log_density)
        return rank


class AdaptiveGate:
    """Move the threshold on the rank up after an accepted bar and down after a rejected one.

    threshold[t + 1] = threshold[t] + rate (level - rejected[t]), so that over T bars the rejected share is within
    (max(level, 1 - level) + rate) / (rate T) of `level`, for any sequence of ranks.
    """

    def __init__(self, level: float = 0.05, rate: float = 0.005) -> None:
        if not 0.0 < level < 1.0:
            raise ValueError(f"level: expected a share between 0 and 1, found {level}")
        if not 0.0 < rate <= 1.0:
            raise ValueError(f"rate: expected a number in (0, 1], found {rate}")
        self.level, self.rate, self.threshold = level, rate, level

    def update(self, rank: float) -> float:
        """Return this bar's rank on the scale on which `level` is the threshold: below it, the bar is rejected."""
        rejected = rank < self.threshold
        if rejected:
            # Scaled, and kept on its own side of the level whatever the rounding does.
            adjusted = min(rank * self.level / self.threshold, float(np.nextafter(self.level, 0.0)))
        else:
            passed = (rank - self.threshold) / max(1.0 - self.threshold, 1e-12)
            adjusted = self.level + (1.0 - self.level) * min(max(passed, 0.0), 1.0)
        self.threshold += self.rate * (self.level - float(rejected))
        return adjusted


@dataclass(frozen=True)
class GateHistory:
    """What an adaptive gate said of every bar.

    Attributes:
        rank: [T], adjusted so that a bar is familiar where rank >= level; NaN where the state is not defined.
        threshold: [T], the threshold on the plain rank that was in force at the bar.
        in_distribution: [T].
    """

    rank: Array
    threshold: Array
    in_distribution: NDArray[np.bool_]


def adaptive_gate(
    log_density: Array,
    calibration: Calibration,
    *,
    level: float = 0.05,
    rate: float = 0.005,
    window: int | None = None,
) -> GateHistory:
    """Pass the log-densities [T] of successive bars through an adaptive gate, oldest first.

    Ranks are those of `calibration`, or of the last `window` bars where one is given. NaN bars are skipped: they
    are not familiar and teach nothing. The history up to a bar does not change when bars are added after it.
    """
    gate = AdaptiveGate(level, rate)
    rolling = None if window is None else RollingRank(calibration, window)
    plain = calibration.density_rank(log_density)
    rank, threshold = np.full(len(plain), np.nan), np.full(len(plain), np.nan)
    for t in np.flatnonzero(np.isfinite(log_density)):
        threshold[t] = gate.threshold
        value = float(plain[t]) if rolling is None else rolling.update(float(log_density[t]))
        rank[t] = gate.update(value)
    return GateHistory(rank, threshold, np.nan_to_num(rank, nan=-1.0) >= level)
