"""The probability of backtest overfitting: how often the best half-sample trial is below the median on the other half.

References:
    The probability of backtest overfitting (Bailey, Borwein, Lopez de Prado and Zhu, 2017, Journal of Computational
    Finance 20(4)): combinatorially symmetric cross-validation, performance degradation, probability of loss.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from math import comb

import numpy as np

from .trials import Array, SelectionError, Trials

__all__ = ["Overfitting", "overfitting"]

_CELLS = 50_000  # splits times trials of one chunk: 400 kB an array, which stays in the cache
_MOST_BLOCKS = 24  # 2,704,156 splits
_ROUNDING = 1e-14


@dataclass(frozen=True, kw_only=True)
class Overfitting:
    """What happens to the best trial of one half of the periods in the other half, over all splits into halves.

    Attributes:
        pbo: share of splits in which it is at or below the median of all trials.
        probability_of_loss: share of splits in which its Sharpe ratio is negative.
        degradation_slope: slope of its out-of-sample Sharpe on its in-sample Sharpe; None if the latter never varies.
        degradation_r2: share of the variance that this line explains; None with the slope.
        splits: number of splits.
        blocks: number of blocks that the periods were cut into.
    """

    pbo: float
    probability_of_loss: float
    degradation_slope: float | None
    degradation_r2: float | None
    splits: int
    blocks: int


def overfitting(trials: Trials, blocks: int = 16) -> Overfitting:
    """Cross-validate the choice of the trial with the best Sharpe ratio; half of the `blocks` choose, half judge.

    Raises:
        SelectionError: there is one trial only, `blocks` is odd or not between 2 and 24, or a block would have fewer
            than 2 periods.
    """
    if trials.n < 2:
        raise SelectionError("overfitting by choice needs at least 2 trials, found 1")
    if blocks % 2 or not 2 <= blocks <= _MOST_BLOCKS:
        raise SelectionError(f"blocks: expected an even number from 2 to {_MOST_BLOCKS}, found {blocks!r}")
    if trials.periods < 2 * blocks:
        raise SelectionError(f"{blocks} blocks need at least {2 * blocks} periods, found {trials.periods}")
    sums = _BlockSums.of(trials.returns, blocks)
    # A split and its mirror image share the Sharpe ratios of their halves: the splits with block 0 are enough.
    halves = itertools.combinations(range(1, blocks), blocks // 2 - 1)
    pairs = comb(blocks, blocks // 2) // 2
    inside, outside, rank = np.empty((2, pairs)), np.empty((2, pairs)), np.empty((2, pairs))
    chunk = max(1, _CELLS // trials.n)
    for start in range(0, pairs, chunk):
        members = list(itertools.islice(halves, chunk))
        chosen = np.zeros((len(members), blocks))
        chosen[:, 0] = 1.0
        np.put_along_axis(chosen, np.array(members, dtype=int), 1.0, axis=1)
        here = slice(start, start + len(members))
        ours, theirs = sums.sharpe(chosen), sums.sharpe(1.0 - chosen)
        for side, pair in enumerate(((ours, theirs), (theirs, ours))):
            inside[side, here], outside[side, here], rank[side, here] = _judge(*pair)
    slope, r2 = _line(inside.ravel(), outside.ravel())
    return Overfitting(
        # At or below the median: logit(rank) <= 0.
        pbo=float(np.mean(rank <= 0.5)),
        probability_of_loss=float(np.mean(outside < 0.0)),
        degradation_slope=slope,
        degradation_r2=r2,
        splits=2 * pairs,
        blocks=blocks,
    )


@dataclass(frozen=True)
class _BlockSums:
    """Number of periods [S], sum and sum of squares [S, N] of each block: all that a Sharpe ratio needs."""

    periods: Array
    total: Array
    squares: Array

    @classmethod
    def of(cls, returns: Array, blocks: int) -> _BlockSums:
        edges = np.linspace(0, len(returns), blocks + 1).astype(int)
        parts = [returns[low:high] for low, high in itertools.pairwise(edges)]
        return cls(
            np.diff(edges).astype(np.float64),
            np.stack([part.sum(axis=0) for part in parts]),
            np.stack([np.einsum("tn,tn->n", part, part) for part in parts]),
        )

    def sharpe(self, chosen: Array) -> Array:
        """Return the Sharpe ratios [splits, N] per period in the blocks for which `chosen` [splits, S] is 1."""
        n = (chosen @ self.periods)[:, None]
        mean = chosen @ self.total
        mean /= n
        variance = chosen @ self.squares
        variance -= n * mean * mean
        variance /= n - 1.0
        # A trial that does not trade in these blocks has a Sharpe ratio of 0, as in metrics.json.
        np.maximum(variance, _ROUNDING**2, out=variance)
        mean /= np.sqrt(variance, out=variance)
        return mean


def _judge(inside: Array, outside: Array) -> tuple[Array, Array, Array]:
    """Return in-sample and out-of-sample Sharpe of the best of each split, and its rank in (0, 1), each [splits].

    Ties share their mean rank.
    """
    best = np.argmax(inside, axis=1)[:, None]
    own = np.take_along_axis(outside, best, axis=1)
    below, level = np.count_nonzero(outside < own, axis=1), np.count_nonzero(outside == own, axis=1)
    rank = (below + 0.5 * (level + 1.0)) / (outside.shape[1] + 1.0)
    return np.take_along_axis(inside, best, axis=1)[:, 0], own[:, 0], rank


def _line(x: Array, y: Array) -> tuple[float | None, float | None]:
    across, along = x - x.mean(), y - y.mean()
    spread = float(across @ across)
    if spread <= _ROUNDING**2 * len(x):
        return None, None
    shared, total = float(across @ along), float(along @ along)
    return shared / spread, min(1.0, shared**2 / (spread * total)) if total > 0.0 else 1.0
