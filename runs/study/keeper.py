"""Which trials the statistics compare: all of them, or at most 4,000 of a larger search."""

from __future__ import annotations

import heapq
import zlib
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from .journal import Row, returns_of
from .outcome import FAILED

__all__ = ["MOST_COMPARED", "ReturnsKeeper", "lot_half", "matrix_of"]

MOST_COMPARED = 4_000
"""Columns of the trial matrix: of a larger search, half of them are the best and half are drawn by lot."""

_HALF = MOST_COMPARED // 2


class ReturnsKeeper:
    """Decide, as each trial ends, whether its daily returns are written down.

    The lot of a trial depends on its number alone, and a trial that is among the best at the end was among the best
    when it ended: which trials are compared does not depend on the order in which they end.
    """

    def __init__(self) -> None:
        self._best: list[float] = []
        self._share = 1.0

    def expect(self, trials: int) -> None:
        """Set the number of trials that the search will have."""
        self._share = 1.0 if trials <= MOST_COMPARED else _HALF / trials

    def wants(self, number: int, merit: float | None) -> bool:
        """Return whether to keep the returns of a trial with this Sharpe ratio."""
        if self._share >= 1.0:
            return True
        value = float("-inf") if merit is None else merit
        if len(self._best) < _HALF:
            heapq.heappush(self._best, value)
            return True
        return heapq.heappushpop(self._best, value) < value or _lot(number) < self._share


def matrix_of(rows: Iterable[Row]) -> tuple[NDArray[np.float64], list[int]]:
    """Return the daily returns [D, N] of the compared trials and their numbers; a failed trial is a column of NaN.

    Pruned trials are no columns: they have no returns after they were stopped.
    """
    found: list[tuple[float, int, NDArray[np.float32] | None]] = []
    for row in rows:
        returns = returns_of(row)
        if returns is not None or row["status"] == FAILED:
            found.append((row["metrics"].get("sharpe_ratio") or float("-inf"), row["number"], returns))
            if len(found) > 3 * MOST_COMPARED:
                found = _chosen(found)
    found = sorted(_chosen(found), key=lambda item: item[1])
    days = max((len(returns) for _, _, returns in found if returns is not None), default=0)
    matrix = np.full((days, len(found)), np.nan)
    for column, (_, _, returns) in enumerate(found):
        if returns is not None:
            matrix[:, column] = returns
    return matrix, [number for _, number, _ in found]


def lot_half(numbers: Sequence[int]) -> list[int]:
    """Return the positions of the half of these trials with the lowest lots: a fair sample whatever their results."""
    order = sorted(range(len(numbers)), key=lambda place: _lot(numbers[place]))
    return order[:_HALF]


def _chosen(
    found: list[tuple[float, int, NDArray[np.float32] | None]],
) -> list[tuple[float, int, NDArray[np.float32] | None]]:
    """Return all, or of more than 4,000 the best half and, of the rest, those with the lowest lots."""
    if len(found) <= MOST_COMPARED:
        return found
    ranked = sorted(found, key=lambda item: (-item[0], item[1]))
    others = sorted(ranked[_HALF:], key=lambda item: _lot(item[1]))
    return ranked[:_HALF] + others[:_HALF]


def _lot(number: int) -> float:
    """Return a number in [0, 1) that depends on the trial's number alone."""
    return zlib.crc32(number.to_bytes(8, "little")) / 2**32
