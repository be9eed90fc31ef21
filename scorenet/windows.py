"""Chronological train, validation and test splits with purging and embargo, so that no two parts share a bar.

References:
    Advances in Financial Machine Learning, ch. 7: purging and embargo (Lopez de Prado, 2018).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .errors import TooFewBars

__all__ = ["Split", "chronological_split"]

Index = NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """Row indices of the three parts, each sorted by time."""

    train: Index
    validation: Index
    test: Index


def chronological_split(
    timestamps: NDArray[np.int64],
    *,
    horizon: int,
    embargo: int,
    step_ms: int,
    fractions: tuple[float, float] = (0.70, 0.15),
    minimum: int = 16,
) -> Split:
    """Split rows in time into train, validation and test (70/15/15 by default).

    `timestamps` [N] are ms in which bars next to each other are `step_ms` apart: of a market with sessions, its
    trading time. Rows may come from several symbols. All symbols are cut at the same instants, so no symbol's future is
    in another's past. The last `horizon` bars of a part are purged, because their target uses prices of the next part.
    The first `embargo` bars of a part are dropped, because their features look back into the previous part.

    Raises:
        TooFewBars: when a part would hold fewer than `minimum` rows.
    """
    times = np.asarray(timestamps, dtype=np.int64)
    if not len(times):
        raise TooFewBars(minimum, 0, "split into train, validation and test")
    begin, end = int(times.min()), int(times.max()) + step_ms
    first_cut = begin + int((end - begin) * fractions[0]) // step_ms * step_ms
    second_cut = begin + int((end - begin) * sum(fractions)) // step_ms * step_ms
    purge, gap = horizon * step_ms, embargo * step_ms
    train = np.flatnonzero(times < first_cut - purge)
    validation = np.flatnonzero((times >= first_cut + gap) & (times < second_cut - purge))
    test = np.flatnonzero((times >= second_cut + gap) & (times < end - purge))
    smallest = min(len(train), len(validation), len(test))
    if smallest < minimum:
        need = int(np.ceil((minimum + horizon + embargo) / min(1 - sum(fractions), fractions[1])))
        if need <= len(times):
            holes = "in one part bars are missing or the price stands still"
            raise TooFewBars(minimum, smallest, f"split into train, validation and test ({holes})")
        raise TooFewBars(need, len(times), f"split with an embargo of {embargo} bars")
    return Split(*(part[np.argsort(times[part], kind="stable")] for part in (train, validation, test)))
