"""Calibration for dependent rows: features look back over hundreds of bars, so neighbouring rows are near copies.

A span of N rows then holds about N / block independent ones. That number limits the accuracy of ranks and of error
bars.

References:
    Exact and Robust Conformal Inference Methods for Predictive Machine Learning with Dependent Data
    (Chernozhukov, Wuthrich & Zhu, 2018), arXiv 1802.06300.
    The Jackknife and the Bootstrap for General Stationary Observations (Kunsch, 1989).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .calibration import Calibration

__all__ = ["Share", "block_error", "blocked_rank", "purged_ranks", "rejected_share"]

Array = NDArray[np.float64]


class Share(NamedTuple):
    """A share of rows, its standard error over blocks, and its nominal value."""

    share: float
    standard_error: float
    nominal: float


def blocked_rank(calibration: Calibration, log_density: Array, block: int) -> Array:
    """Return conformal p-values [N] that count blocks of `block` rows, not rows, as independent observations.

    They are never smaller than those of `Calibration.density_rank` and never below 1 / (blocks + 1): ten independent
    months are too few to estimate a probability of one in a hundred.
    """
    blocks = max(calibration.rows // _checked(block), 1)
    table = calibration.log_density
    below = np.searchsorted(table, log_density, side="right") / len(table)
    return np.asarray((below * blocks + 1.0) / (blocks + 1.0))


def purged_ranks(log_density: Array, *, block: int, purge: int = 0) -> Array:
    """Return the rank [N] of each row among the rows of all other blocks, without `purge` rows on either side.

    Rows are in time order, and the density was trained on other data. No row is ranked against its own block, so the
    share of ranks below a level estimates how many rows a split-conformal threshold would have rejected on this span.
    """
    total = len(log_density)
    if total <= _checked(block) + 2 * purge:
        raise ValueError(f"expected more than one block of {block} rows and its purge, found {total} rows")
    out = np.empty(total)
    for begin in range(0, total, block):
        stop = min(begin + block, total)
        others = np.concatenate([log_density[: max(begin - purge, 0)], log_density[stop + purge :]])
        others.sort()
        below = np.searchsorted(others, log_density[begin:stop], side="right")
        out[begin:stop] = (below + 1.0) / (len(others) + 1.0)
    return out


def block_error(values: Array, block: int) -> float:
    """Return the standard error of the mean of a time series [N], from the means of its blocks."""
    blocks = len(values) // _checked(block)
    if blocks < 2:
        return float("nan")
    means = np.asarray(values, dtype=np.float64)[: blocks * block].reshape(blocks, block).mean(axis=1)
    return float(means.std(ddof=1) / np.sqrt(blocks))


def rejected_share(rank: Array, level: float, block: int) -> Share:
    """Return the share of rows with rank below `level`, with a standard error that accounts for overlapping rows."""
    rejected = (np.asarray(rank) < level).astype(np.float64)
    return Share(float(rejected.mean()), block_error(rejected, block), level)


def _checked(block: int) -> int:
    if block < 1:
        raise ValueError(f"block: expected at least 1 row, found {block}")
    return block
