"""The stationary bootstrap: resamples of dependent returns, in blocks of random length.

References:
    The stationary bootstrap (Politis and Romano, 1994, JASA 89).
    Automatic block-length selection for the dependent bootstrap (Politis and White, 2004, Econometric Reviews 23), with
    the correction of Patton, Politis and White (2009, Econometric Reviews 28).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from .trials import Array, SelectionError, column_chunks

__all__ = ["block_length", "mean_variance", "resample_rows", "row_counts", "typical_block_length"]

_CELLS = 2_000_000  # rows times resamples of one chunk: 16 MB
_PROBED = 64  # trials from which the block length of a matrix is taken


def block_length(returns: Array) -> float:
    """Return the mean block length that suits returns [T], at least 1 (independent returns)."""
    values = returns - returns.mean()
    n = len(values)
    span = max(5, int(math.log10(n)))
    longest = min(math.ceil(math.sqrt(n)) + span, n - 1)
    covariance = np.array([values[lag:] @ values[: n - lag] for lag in range(longest + 1)]) / n
    if covariance[0] <= 0.0:
        return 1.0
    bound = 2.0 * math.sqrt(math.log10(n) / n)
    quiet = np.abs(covariance / covariance[0]) < bound
    # The window is twice the first of `span` insignificant autocorrelations in a row.
    first = next((lag for lag in range(1, longest - span + 2) if quiet[lag : lag + span].all()), longest)
    window = min(2 * first, longest)
    lags = np.arange(1, window + 1)
    taper = np.minimum(1.0, 2.0 * (1.0 - lags / window))
    weighted = taper * covariance[1 : window + 1]
    long_run = covariance[0] + 2.0 * float(weighted.sum())
    slope = 2.0 * float((lags * weighted).sum())
    if long_run == 0.0:
        return 1.0
    best = (slope / long_run) ** 2
    return float(min(max(1.0, (best * n) ** (1 / 3)), math.ceil(min(3.0 * math.sqrt(n), n / 3))))


def typical_block_length(matrix: Array, benchmark: Array) -> float:
    """Return the median block length of up to 64 evenly spaced columns of `matrix` [T, N] minus `benchmark` [T]."""
    columns = np.unique(np.linspace(0, matrix.shape[1] - 1, min(_PROBED, matrix.shape[1])).astype(int))
    return float(np.median([block_length(matrix[:, column] - benchmark) for column in columns]))


def resample_rows(
    rows: int, block: float, resamples: int, rng: np.random.Generator, *, width: int = 1
) -> Iterator[NDArray[np.int64]]:
    """Yield row numbers [chunk, T] of `resamples` resamples in all, with blocks of mean length `block`.

    Rows follow each other in a circle, so that every row is drawn equally often. `width` is the number of columns that
    the caller makes of a resample; chunks are smaller if it is large. The resamples do not depend on the chunks.

    Raises:
        SelectionError: the block is shorter than 1 row, or no resample is asked for.
    """
    if not block >= 1.0 or resamples < 1:
        raise SelectionError(
            f"expected a block of at least 1 row and a resample, found {block!r}, {resamples!r}"
        )
    chunk = max(1, _CELLS // max(rows, width))
    begin_rng, origin_rng = rng.spawn(2)
    place = np.arange(rows)
    for start in range(0, resamples, chunk):
        count = min(chunk, resamples - start)
        begins = begin_rng.random((count, rows)) < 1.0 / block
        begins[:, 0] = True
        first = np.maximum.accumulate(np.where(begins, place, 0), axis=1)
        origin = origin_rng.integers(0, rows, size=(count, rows))
        yield (np.take_along_axis(origin, first, axis=1) + place - first) % rows


def row_counts(
    rows: int, block: float, resamples: int, rng: np.random.Generator, *, width: int = 1
) -> Iterator[Array]:
    """Yield how often each resample contains each row, [chunk, T]; its product with returns is T times their mean."""
    for drawn in resample_rows(rows, block, resamples, rng, width=width):
        offsets = np.arange(len(drawn))[:, None] * rows
        counts = np.bincount((drawn + offsets).ravel(), minlength=drawn.size)
        yield counts.reshape(drawn.shape).astype(np.float64)


def mean_variance(matrix: Array, block: float) -> Array:
    """Return T times the variance [N] of the mean of resampled columns of `matrix` [T, N], in closed form.

    It is an estimate of the long-run variance: Politis and Romano, lemma 1, with circular autocovariances.
    """
    rows = len(matrix)
    lags = np.arange(rows)
    weight = (1.0 - lags / rows) * (1.0 - 1.0 / block) ** lags
    weight[1:] *= 2.0
    # The weighted sum of autocovariances over lags is a weighted sum of the periodogram over frequencies.
    spectrum = np.fft.rfft(weight).real
    spectrum[1 : (rows + 1) // 2] *= 2.0
    spectrum[0] = 0.0  # the mean has no part in an autocovariance
    parts = []
    for part in column_chunks(matrix):
        power = np.abs(np.fft.rfft(part, axis=0)) ** 2
        parts.append(spectrum @ power / rows**2)
    variance: Array = np.maximum(np.concatenate(parts), 0.0)
    return variance
