"""Adaptive conformal inference under drift: ranks in a rolling window, and a threshold that corrects itself.

A split-conformal rank is valid while the market stays exchangeable with the calibration span. Without exchangeability
only the long-run rejection rate can be guaranteed: for any sequence of bars, the adaptive threshold keeps the rejected
share of T bars within about 1 / (rate T) of the level. Neither method uses later bars: the result at a bar depends on
the bars up to it.

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

__all__ = ["AdaptiveThreshold", "RollingRank", "ThresholdHistory", "adapted", "adaptive_threshold"]

Array = NDArray[np.float64]


class RollingRank:
    """Rank each log-density among the `window` values before it; the window starts with calibration values."""

    def __init__(self, calibration: Calibration, window: int) -> None:
        if window < 2:
            raise ValueError(f"window: expected at least 2 bars, found {window}")
        # Start with evenly spaced quantiles of the sorted table, shuffled so that they leave in random order.
        first = calibration.log_density[
            np.linspace(0, len(calibration.log_density) - 1, window).round().astype(int)
        ]
        self._queue = deque(np.random.default_rng(0).permutation(first).tolist())
        self._sorted = sorted(self._queue)

    def update(self, log_density: float) -> float:
        """Return the rank of this bar's log-density, in (0, 1], then add the bar to the window."""
        rank = (bisect.bisect_right(self._sorted, log_density) + 1) / (len(self._sorted) + 1)
        del self._sorted[bisect.bisect_left(self._sorted, self._queue.popleft())]
        self._queue.append(log_density)
        bisect.insort(self._sorted, log_density)
        return rank


class AdaptiveThreshold:
    """Adaptive threshold on the density rank: it rises after an accepted bar and falls after a rejected one.

    threshold[t + 1] = threshold[t] + rate (level - rejected[t]). Over T bars the rejected share is then within
    (max(level, 1 - level) + rate) / (rate T) of `level`, for any sequence of ranks.
    """

    def __init__(self, level: float = 0.05, rate: float = 0.005) -> None:
        if not 0.0 < level < 1.0:
            raise ValueError(f"level: expected a share between 0 and 1, found {level}")
        if not 0.0 < rate <= 1.0:
            raise ValueError(f"rate: expected a number in (0, 1], found {rate}")
        self.level, self.rate, self.threshold = level, rate, level

    def update(self, rank: float) -> float:
        """Return this bar's rank, rescaled so that the bar is rejected when the rank is below `level`."""
        adjusted, self.threshold = adapted(rank, self.threshold, self.level, self.rate)
        return adjusted


def adapted(rank: float, threshold: float, level: float, rate: float) -> tuple[float, float]:
    """Return the rescaled rank of a bar, and the threshold of the next bar; see `AdaptiveThreshold`."""
    if rank < threshold:
        # Rescaled, and kept below the level in spite of rounding.
        return min(rank * level / threshold, float(np.nextafter(level, 0.0))), threshold + rate * (
            level - 1.0
        )
    passed = (rank - threshold) / max(1.0 - threshold, 1e-12)
    return level + (1.0 - level) * min(max(passed, 0.0), 1.0), threshold + rate * level


@dataclass(frozen=True)
class ThresholdHistory:
    """The output of an `AdaptiveThreshold` for every bar.

    Attributes:
        rank: [T], rescaled so that a bar is in distribution where rank >= level; NaN where the state is undefined.
        threshold: [T], the threshold that applied to the plain rank at the bar.
        in_distribution: [T], whether the bar was accepted.
    """

    rank: Array
    threshold: Array
    in_distribution: NDArray[np.bool_]


def adaptive_threshold(
    log_density: Array,
    calibration: Calibration,
    *,
    level: float = 0.05,
    rate: float = 0.005,
    window: int | None = None,
) -> ThresholdHistory:
    """Apply an `AdaptiveThreshold` to the log-densities [T] of successive bars, oldest first.

    Ranks are relative to `calibration`, or to the last `window` bars where `window` is given. Bars whose log-density
    is NaN count as out of distribution and do not move the threshold. Later bars never change earlier results.
    """
    adaptive = AdaptiveThreshold(level, rate)
    rolling = None if window is None else RollingRank(calibration, window)
    plain = calibration.density_rank(log_density)
    rank, threshold = np.full(len(plain), np.nan), np.full(len(plain), np.nan)
    for t in np.flatnonzero(np.isfinite(log_density)):
        threshold[t] = adaptive.threshold
        value = float(plain[t]) if rolling is None else rolling.update(float(log_density[t]))
        rank[t] = adaptive.update(value)
    return ThresholdHistory(rank, threshold, np.nan_to_num(rank, nan=-1.0) >= level)
