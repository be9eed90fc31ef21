"""The figures of a search that is too large for one matrix: its trials come in parts."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .assessment import Assessment
from .bootstrap import typical_block_length
from .confidence import intervals
from .cross_validation import overfitting
from .deflated import deflated_sharpe, expected_maximum_sharpe
from .sharpe import SharpeEstimate
from .superiority import PooledTest
from .trials import Array, SelectionError, Trials, column_chunks

__all__ = ["assess_parts"]

_BLOCKS = 16


def assess_parts(
    parts: Iterable[NDArray[np.float64]],
    sample: ArrayLike,
    periods_per_year: float,
    *,
    benchmark: Array | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> Assessment:
    """Return the figures that `assess` gives for all parts side by side, in the memory of one part.

    Args:
        parts: neighbouring columns [T, n] of the trial matrix, failed trials as NaN; gone through once.
        sample: trials [T, M] drawn by lot, for the block length and the probability of overfitting: that is the one of
            a search of M trials.
        benchmark: returns [T] of buy-and-hold.

    Raises:
        SelectionError: no trial can be compared.
    """
    drawn = Trials.of(sample)
    found = _Pool(drawn.periods)
    cash = np.zeros(drawn.periods)
    tests = [
        PooledTest(market, typical_block_length(drawn.returns, market), resamples=resamples, seed=seed)
        for market in (cash, benchmark)
        if market is not None
    ]
    for part in parts:
        trials = found.add(part)
        for test in tests if trials is not None else ():
            test.add(trials.returns, trials.columns + found.columns - part.shape[1])  # type: ignore[union-attr]
    sharpes, series = np.concatenate(found.sharpes), found.series
    best, annual = SharpeEstimate.of(series), math.sqrt(periods_per_year)
    variance = float(sharpes.var(ddof=1)) if len(sharpes) > 1 else 0.0
    blocks = min(_BLOCKS, drawn.periods // 8 * 2)
    effective = found.effective()
    return Assessment(
        n_trials=found.columns,
        n_failed=found.n_failed,
        n_idle=found.n_idle,
        periods=drawn.periods,
        best=found.best,
        sharpe_ratio=best.sharpe * annual,
        effective_trials=effective,
        expected_max_sharpe=expected_maximum_sharpe(variance, len(sharpes)) * annual,
        probabilistic_sharpe=best.probability_above(),
        deflated_sharpe=deflated_sharpe(best, variance, len(sharpes)),
        deflated_sharpe_effective=deflated_sharpe(best, variance, effective),
        minimum_track_record=best.minimum_length(),
        against_cash=tests[0].result(),
        against_benchmark=None if benchmark is None else tests[1].result(),
        overfitting=overfitting(drawn, blocks) if drawn.n > 1 and blocks >= 2 else None,
        intervals=intervals(series, periods_per_year, resamples=resamples, seed=seed),
    )


class _Pool:
    """What is kept of the parts that have been seen."""

    def __init__(self, periods: int) -> None:
        self.columns = self.n_failed = self.n_idle = 0
        self.sharpes: list[Array] = []
        self.best, self._highest = -1, -math.inf
        self.series: Array = np.zeros(periods)
        self._standardised: Array = np.zeros(periods)

    def add(self, part: Array) -> Trials | None:
        """Add a part; return its trials that can be compared, None without any."""
        before = self.columns
        self.columns += part.shape[1]
        try:
            trials = Trials.of(part)
        except SelectionError:
            failed = int((~np.isfinite(part).all(axis=0)).sum())
            self.n_failed += failed
            self.n_idle += part.shape[1] - failed
            return None
        self.n_failed += trials.n_failed
        self.n_idle += trials.n_idle
        self.sharpes.append(trials.sharpes)
        if trials.sharpes[trials.best] > self._highest:
            self._highest = float(trials.sharpes[trials.best])
            self.best = before + int(trials.columns[trials.best])
            self.series = np.ascontiguousarray(trials.returns[:, trials.best])
        for piece in column_chunks(trials.returns):
            self._standardised += ((piece - piece.mean(axis=0)) / piece.std(axis=0)).sum(axis=1)
        return trials

    def effective(self) -> float:
        """Return the effective number of trials, as `effective_trials`."""
        n = sum(len(part) for part in self.sharpes)
        if n < 2:
            return 1.0
        total = self._standardised
        average = (float(total @ total) / len(total) - n) / (n * (n - 1))
        average = min(max(average, 0.0), 1.0)
        return average + (1.0 - average) * n
