"""The trial matrix: the returns of all trials of one search, and which of them can be compared."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scorenet.errors import ScorenetError

__all__ = ["Array", "SelectionError", "Trials", "column_chunks", "one_series"]

Array = NDArray[np.float64]

FEWEST_PERIODS = 3
_CONSTANT = 1e-14  # a standard deviation below it is a rounding error of equity ratios
_CHUNK_BYTES = 64 * 2**20


class SelectionError(ScorenetError, ValueError):
    """Report returns from which nothing can be estimated."""


@dataclass(frozen=True, eq=False)
class Trials:
    """Simple returns per period of the trials of one search that can be compared.

    A trial with a value that is not finite has failed. A trial whose returns never vary (it did not trade) has no
    Sharpe ratio. Both are left out and counted.

    Attributes:
        returns: [T, N], the trials that are left.
        columns: [N], their column in the matrix that was handed in.
        n_failed: number of trials left out because they failed.
        n_idle: number of trials left out because their returns never vary.
    """

    returns: Array
    columns: NDArray[np.intp]
    n_failed: int = 0
    n_idle: int = 0

    @classmethod
    def of(cls, returns: ArrayLike) -> Trials:
        """Build from returns [T, N]: T periods, N trials.

        Raises:
            SelectionError: the shape is another, there are fewer than 3 periods, or no trial is left.
        """
        matrix = np.asarray(returns, dtype=np.float64)
        if matrix.ndim != 2:
            raise SelectionError(f"expected trial returns [T, N], found an array of shape {matrix.shape}")
        if len(matrix) < FEWEST_PERIODS:
            raise SelectionError(
                f"expected at least {FEWEST_PERIODS} periods of returns, found {len(matrix)}"
            )
        if not matrix.shape[1]:
            raise SelectionError("expected at least one trial, found none")
        finite, varies = _usable(matrix)
        kept = np.flatnonzero(finite & varies)
        n_failed, n_idle = int(np.sum(~finite)), int(np.sum(finite & ~varies))
        if not len(kept):
            raise SelectionError(
                f"no trial is left to compare: of {matrix.shape[1]}, {n_failed} failed and {n_idle} have returns that "
                "never vary; widen the search or lower the thresholds"
            )
        inside = matrix if len(kept) == matrix.shape[1] else matrix[:, kept]
        return cls(inside, kept, n_failed, n_idle)

    @property
    def periods(self) -> int:
        """Return T."""
        return len(self.returns)

    @property
    def n(self) -> int:
        """Return N, the number of trials that can be compared."""
        return int(self.returns.shape[1])

    @cached_property
    def sharpes(self) -> Array:
        """Return the Sharpe ratio per period of each trial, [N]."""
        parts = [part.mean(axis=0) / part.std(axis=0, ddof=1) for part in column_chunks(self.returns)]
        return np.concatenate(parts)

    @property
    def best(self) -> int:
        """Return the position (0 to N - 1) of the trial with the highest Sharpe ratio; the first of equals."""
        return int(np.argmax(self.sharpes))


def column_chunks(matrix: Array) -> Iterator[Array]:
    """Yield neighbouring columns of `matrix` [T, N] in pieces of at most 64 MiB (or one column)."""
    width = max(1, _CHUNK_BYTES // (8 * max(1, len(matrix))))
    for start in range(0, matrix.shape[1], width):
        yield matrix[:, start : start + width]


def one_series(returns: ArrayLike) -> Array:
    """Return the returns [T] of one strategy as float64.

    Raises:
        SelectionError: they are not one series, not finite, never vary, or are fewer than 3.
    """
    values = np.asarray(returns, dtype=np.float64)
    if values.ndim != 1:
        raise SelectionError(
            f"expected the returns [T] of one strategy, found an array of shape {values.shape}"
        )
    if len(values) < FEWEST_PERIODS:
        raise SelectionError(f"expected at least {FEWEST_PERIODS} periods of returns, found {len(values)}")
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values))[0])
        raise SelectionError(f"expected finite returns, found {values[row]} at period {row}")
    if values.std() < _CONSTANT:
        raise SelectionError("the returns never vary: their Sharpe ratio is undefined")
    return values


def _usable(matrix: Array) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    finite, varies = [], []
    for part in column_chunks(matrix):
        finite.append(np.isfinite(part).all(axis=0))
        with np.errstate(invalid="ignore", over="ignore"):  # of failed trials, which are left out
            varies.append(part.std(axis=0) >= _CONSTANT)
    return np.concatenate(finite), np.concatenate(varies)
