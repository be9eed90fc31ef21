"""Reduce the number of points of a curve without changing its picture."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["keep_extremes"]


def keep_extremes(values: npt.NDArray[np.float64], buckets: int) -> npt.NDArray[np.int64]:
    """Return sorted positions of at most 4 x `buckets` points of a curve [N] that look like all of them.

    Each bucket of consecutive points keeps its first, lowest, highest and last one, so no spike is lost;
    NaN is ignored when the extremes are found.
    """
    count = len(values)
    if count <= 4 * buckets:
        return np.arange(count)
    width = -(-count // buckets)
    padded = np.full(width * buckets, np.nan)
    padded[:count] = values
    grid = padded.reshape(buckets, width)
    starts = np.arange(buckets) * width
    low = starts + np.where(np.isnan(grid), np.inf, grid).argmin(axis=1)
    high = starts + np.where(np.isnan(grid), -np.inf, grid).argmax(axis=1)
    ends = np.minimum(starts + width, count) - 1
    kept = np.unique(np.concatenate([starts, low, high, ends]))
    return kept[kept < count]
