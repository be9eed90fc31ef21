"""The trial matrix of a study, from its journal: all trials, in parts, or some of them drawn by lot."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from .journal import Journal
from .outcome import PRUNED, Row, returns_of

__all__ = ["MOST_AT_ONCE", "compared", "lot", "parts_of"]

MOST_AT_ONCE = 4_000
"""Trials in one matrix; a larger search comes in parts of this number."""


def parts_of(journal: Journal, days: int) -> Iterator[tuple[NDArray[np.float64], list[int]]]:
    """Yield the daily returns [D, n] of the compared trials, a failed one as NaN, and their numbers.

    Pruned trials are no columns: they have no returns after they were stopped.
    """
    columns: list[NDArray[np.float32] | None] = []
    numbers: list[int] = []
    for row in journal.rows():
        if not compared(row):
            continue
        columns.append(returns_of(row))
        numbers.append(row["number"])
        if len(columns) == MOST_AT_ONCE:
            yield _matrix(columns, days), numbers
            columns, numbers = [], []
    if columns:
        yield _matrix(columns, days), numbers


def compared(row: Row) -> bool:
    """Return whether the statistics compare a trial: all but the pruned ones."""
    return bool(row["status"] != PRUNED)


def lot(number: int) -> float:
    """Return a number in [0, 1) that depends on the trial's number alone."""
    return zlib.crc32(number.to_bytes(8, "little")) / 2**32


def _matrix(columns: list[NDArray[np.float32] | None], days: int) -> NDArray[np.float64]:
    matrix = np.full((days, len(columns)), np.nan)
    for place, returns in enumerate(columns):
        if returns is not None:
            matrix[:, place] = returns
    return matrix
