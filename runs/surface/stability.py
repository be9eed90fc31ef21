"""Whether the best trial stands on a plateau: how good its neighbours are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .axes import Axis

__all__ = ["Stability", "stability"]

_FEWEST, _NEAREST = 3, 8
_PLATEAU, _SPIKE = 2 / 3, 1 / 3


@dataclass(frozen=True)
class Stability:
    """The neighbourhood of the best trial.

    Attributes:
        best: its objective.
        neighbours: number of trials around it: one step away in one setting; with fewer than 3 of them, one step away
            in each setting at most; or else the 8 nearest.
        mean, worst: their objectives.
        median: objective of the middle one of all trials.
        kept: share of the best's advantage over the median that the neighbours' mean keeps; None without an advantage.
        shape: "plateau" if at least two thirds are kept, "spike" if at most a third, "slope" between.
    """

    best: float
    neighbours: int
    mean: float
    worst: float
    median: float
    kept: float | None
    shape: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


def stability(
    axes: Sequence[Axis], values: NDArray[np.float64], best: int, *, smaller: bool
) -> Stability | None:
    """Return how the objective values [N] lie around the trial at position `best`; None with fewer than 4 trials.

    `smaller` says that smaller values are better.
    """
    known = np.isfinite(values)
    if not axes or int(known.sum()) <= _FEWEST or not known[best]:
        return None
    points = np.column_stack([axis.places for axis in axes])
    steps = np.array([axis.step for axis in axes])
    apart = np.abs(points - points[best]) / steps
    others = known.copy()
    others[best] = False
    near = others & (apart.sum(axis=1) <= 1.0 + 1e-9)
    if int(near.sum()) < _FEWEST:
        near = others & (apart.max(axis=1) <= 1.0 + 1e-9)
    if int(near.sum()) < _FEWEST:
        order = np.flatnonzero(others)[np.argsort((apart[others] ** 2).sum(axis=1), kind="stable")]
        near = np.zeros(len(values), dtype=bool)
        near[order[:_NEAREST]] = True
    around, middle = values[near], float(np.median(values[known]))
    advantage, mean = float(values[best]) - middle, float(around.mean())
    kept = (mean - middle) / advantage if abs(advantage) > 1e-12 else None
    worst = float(around.max() if smaller else around.min())
    return Stability(float(values[best]), int(near.sum()), mean, worst, middle, kept, _shape(kept))


def _shape(kept: float | None) -> str:
    if kept is None or kept >= _PLATEAU:
        return "plateau"
    return "spike" if kept <= _SPIKE else "slope"
