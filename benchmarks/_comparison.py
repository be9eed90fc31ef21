"""Test whether one forecast is better than another, for rows whose errors overlap in time.

References:
    Comparing Predictive Accuracy (Diebold & Mariano, 1995); the variance is Newey & West's (1987).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

__all__ = ["Comparison", "block_standard_error", "by_time", "diebold_mariano"]

Array = NDArray[np.float64]


class Comparison(NamedTuple):
    """Mean advantage, its HAC standard error, t statistic and two-sided p-value."""

    mean: float
    standard_error: float
    t: float
    p: float


def by_time(values: Array, time: NDArray[np.int64]) -> Array:
    """Return the mean over symbols at each instant, in time order; rows of one instant are one observation."""
    _, place = np.unique(time, return_inverse=True)
    return np.bincount(place, weights=values) / np.bincount(place)


def diebold_mariano(advantage: Array, lag: int) -> Comparison:
    """Test whether the mean of a series [T] is 0, with Bartlett weights up to `lag`."""
    centred, n = advantage - advantage.mean(), len(advantage)
    variance = centred @ centred / n
    for k in range(1, lag + 1):
        variance += 2 * (1 - k / (lag + 1)) * (centred[k:] @ centred[:-k]) / n
    error = math.sqrt(variance / n)
    t = float(advantage.mean()) / error
    p = 2 * float(torch.special.ndtr(torch.tensor(-abs(t), dtype=torch.float64)))
    return Comparison(float(advantage.mean()), error, t, p)


def block_standard_error(values: Array, block: int, *, draws: int = 2_000, seed: int = 0) -> float:
    """Return the standard error of the mean of a series [T] by the moving-block bootstrap."""
    n = len(values)
    sums = np.convolve(values, np.ones(block), mode="valid")
    starts = np.random.default_rng(seed).integers(0, len(sums), size=(draws, max(n // block, 1)))
    return float((sums[starts].sum(axis=1) / (starts.shape[1] * block)).std())
