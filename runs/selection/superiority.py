"""Tests of the right size that the best of many trials is better than a benchmark: reality check and SPA.

The distribution of the best is taken from resamples of the actual trial matrix, so that trials may be correlated in any
way. The statistic is the largest studentised mean: a wild trial does not drown a steady one.

References:
    A reality check for data snooping (White, 2000, Econometrica 68).
    A test for superior predictive ability (Hansen, 2005, Journal of Business and Economic Statistics 23).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .bootstrap import mean_variance, row_counts, typical_block_length
from .trials import Array, SelectionError, Trials, column_chunks

__all__ = ["PooledTest", "SuperiorAbility", "superior_ability"]

_FEWEST_RESAMPLES = 99  # below it, no p-value reaches 0.01


@dataclass(frozen=True, kw_only=True)
class SuperiorAbility:
    """The p-values of the hypothesis that no trial is better than the benchmark.

    Attributes:
        statistic: largest of sqrt(T) mean(d) / omega over the trials, at least 0; d is return minus benchmark.
        best: column of that trial in the matrix that was handed in.
        p_lower: liberal p-value: trials worse than the benchmark count by what they are.
        p_value: the consistent p-value, for use: trials that are far worse than the benchmark do not count.
        p_upper: conservative p-value, White's reality check: every trial counts as just as good as the benchmark.
        block: mean block length of the resamples, in periods.
        resamples: number of resamples; the smallest possible p-value is 1 / (resamples + 1).
    """

    statistic: float
    best: int
    p_lower: float
    p_value: float
    p_upper: float
    block: float
    resamples: int


def superior_ability(
    trials: Trials,
    benchmark: ArrayLike | None = None,
    *,
    block: float | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> SuperiorAbility | None:
    """Test whether the best of `trials` has a higher mean return than `benchmark` [T]; without one, than 0 (cash).

    `block` is the mean block length in periods; by default the median of what suits the trials. Trials that are the
    benchmark itself are left out; None if no other is left.

    Raises:
        SelectionError: the benchmark has another length or a value that is not finite, or there are under 99 resamples.
    """
    market = _benchmark(benchmark, trials.periods)
    block = typical_block_length(trials.returns, market) if block is None else block
    test = PooledTest(market, block, resamples=resamples, seed=seed)
    test.add(trials.returns, trials.columns)
    return test.result()


class PooledTest:
    """The same test over trials that come in parts: any number of them, in the memory of one part.

    All parts are resampled at the same periods, so the result is that of one matrix.

    Args:
        market: returns [T] of the benchmark.
        block: mean block length of the resamples, in periods.

    Raises:
        SelectionError: there are under 99 resamples.
    """

    def __init__(self, market: Array, block: float, *, resamples: int = 1000, seed: int = 0) -> None:
        if resamples < _FEWEST_RESAMPLES:
            raise SelectionError(f"resamples: expected at least {_FEWEST_RESAMPLES}, found {resamples}")
        self._market, self._block, self._resamples, self._seed = market, block, resamples, seed
        # A trial that is the benchmark is 0 in every resample, which the statistic's lower limit is too.
        self._largest = np.zeros((3, resamples))
        self._highest, self._best = -math.inf, -1

    def add(self, returns: Array, columns: NDArray[np.intp]) -> None:
        """Add trials: returns [T, N] that are finite and vary, and their column numbers [N]."""
        market, periods = self._market, len(returns)
        mean = returns.mean(axis=0) - market.mean()
        omega = np.sqrt(
            np.concatenate([mean_variance(part, self._block) for part in _differences(returns, market)])
        )
        # An omega that is only rounding error belongs to a trial that is the benchmark.
        differs = omega > 1e-14
        if not differs.any():
            return
        scale = np.where(differs, math.sqrt(periods) / np.where(differs, omega, 1.0), 0.0)
        observed = mean * scale
        place = int(np.argmax(np.where(differs, observed, -np.inf)))
        if observed[place] > self._highest:
            self._highest, self._best = float(observed[place]), int(columns[place])
        poor = observed < -math.sqrt(2.0 * math.log(max(math.log(periods), 1.0)))
        recentre = (np.minimum(observed, 0.0), np.where(poor, observed, 0.0))
        rng = np.random.default_rng(self._seed)
        done = 0
        for counts in row_counts(periods, self._block, self._resamples, rng, width=returns.shape[1]):
            drawn = counts @ returns
            drawn -= (counts @ market)[:, None]
            drawn /= periods
            drawn -= mean
            drawn *= scale
            found = np.array([(drawn + recentre[0]).max(1), (drawn + recentre[1]).max(1), drawn.max(1)])
            here = self._largest[:, done : done + len(counts)]
            np.maximum(here, found, out=here)
            done += len(counts)

    def result(self) -> SuperiorAbility | None:
        """Return the p-values; None if no trial differs from the benchmark."""
        if self._best < 0:
            return None
        statistic = max(0.0, self._highest)
        beaten = (self._largest >= statistic).sum(axis=1)
        lower, consistent, upper = (beaten + 1.0) / (self._resamples + 1.0)
        return SuperiorAbility(
            statistic=statistic,
            best=self._best,
            p_lower=float(lower),
            p_value=float(consistent),
            p_upper=float(upper),
            block=float(self._block),
            resamples=self._resamples,
        )


def _benchmark(benchmark: ArrayLike | None, periods: int) -> Array:
    if benchmark is None:
        return np.zeros(periods)
    values = np.asarray(benchmark, dtype=np.float64)
    if values.shape != (periods,):
        raise SelectionError(
            f"benchmark: expected {periods} returns as the trials have, found shape {values.shape}"
        )
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values))[0])
        raise SelectionError(f"benchmark: expected finite returns, found {values[row]} at period {row}")
    return values


def _differences(returns: Array, market: Array) -> Iterator[Array]:
    return (part - market[:, None] for part in column_chunks(returns))
