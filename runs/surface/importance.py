"""Which settings matter: the share of the objective's variance that each explains, alone and with another.

References:
    An efficient approach for assessing hyperparameter importance (Hutter, Hoos and Leyton-Brown, 2014, ICML):
    functional ANOVA over a random forest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .axes import Axis

__all__ = ["Importance", "fitted", "importance"]

Array = NDArray[np.float64]

_FEWEST = 12  # trials from which anything can be learned
_MOST_ROWS = 5_000
_POINTS, _STEPS = 400, 12
_MOST_PAIRED = 4  # settings whose pairs are measured


@dataclass(frozen=True)
class Importance:
    """Shares of the variance over the search space, by a random forest.

    Attributes:
        alone: setting -> share that it explains alone.
        pairs: (setting, setting) -> share that they explain only together, of the settings that matter most.
        fit: share of the trials' variance that the forest explains on trials it was not fitted to; below about 0.3 the
            shares mean little.
    """

    alone: dict[str, float]
    pairs: dict[tuple[str, str], float]
    fit: float


def fitted(axes: Sequence[Axis], values: Array) -> Any:
    """Return a random forest of the objective values [N] over the axes; None if there are too few trials."""
    from sklearn.ensemble import RandomForestRegressor

    known = np.flatnonzero(np.isfinite(values))
    if len(known) < _FEWEST or not axes or np.ptp(values[known]) == 0.0:
        return None
    if len(known) > _MOST_ROWS:
        known = known[np.linspace(0, len(known) - 1, _MOST_ROWS).round().astype(int)]
    forest = RandomForestRegressor(
        n_estimators=64, min_samples_leaf=2, oob_score=True, bootstrap=True, random_state=0, n_jobs=1
    )
    return forest.fit(np.column_stack([axis.places[known] for axis in axes]), values[known])


def importance(axes: Sequence[Axis], forest: Any) -> Importance:
    """Return the shares of a forest's variance over the space, each setting drawn independently of the others."""
    base = _points(axes)
    total = float(np.var(forest.predict(base)))
    if total <= 0.0:
        return Importance({axis.name: 0.0 for axis in axes}, {}, float(forest.oob_score_))
    main = [_variance(forest, base, axes, (place,)) for place in range(len(axes))]
    alone = {axis.name: min(1.0, value / total) for axis, value in zip(axes, main, strict=True)}
    top = sorted(range(len(axes)), key=lambda place: -main[place])[:_MOST_PAIRED]
    pairs = {}
    for one, other in combinations(sorted(top), 2):
        both = _variance(forest, base, axes, (one, other)) - main[one] - main[other]
        pairs[(axes[one].name, axes[other].name)] = max(0.0, both / total)
    return Importance(alone, pairs, float(forest.oob_score_))


def importance_of(trials: pd.DataFrame, axes: Sequence[Axis], objective: str) -> Importance | None:
    """Return the importance of the settings of a trial table, None if there are too few trials."""
    forest = fitted(axes, trials[objective].to_numpy(np.float64))
    return None if forest is None else importance(axes, forest)


def _points(axes: Sequence[Axis]) -> Array:
    """Return points [M, F] drawn independently along each axis, with the values of a list equally often."""
    rng = np.random.default_rng(0)
    return np.column_stack([rng.choice(_steps(axis), _POINTS) for axis in axes])


def _steps(axis: Axis, count: int = 64) -> Array:
    """Return the places of a list's values, or the middles of equal parts of a range."""
    if axis.labels:
        return np.linspace(0.0, 1.0, len(axis.labels))
    return np.asarray((np.arange(count) + 0.5) / count)


def _variance(forest: Any, base: Array, axes: Sequence[Axis], places: tuple[int, ...]) -> float:
    """Return the variance of the mean prediction along the axes at `places`, over the points of all others."""
    grids = [_steps(axes[place], _STEPS) for place in places]
    cells = np.stack(np.meshgrid(*grids, indexing="ij"), axis=-1).reshape(-1, len(places))
    points = base if len(places) == 1 else base[: _POINTS // 2]
    many = np.repeat(points[None], len(cells), axis=0)
    for column, place in enumerate(places):
        many[:, :, place] = cells[:, column, None]
    predicted = forest.predict(many.reshape(-1, base.shape[1])).reshape(len(cells), len(points))
    return float(np.var(predicted.mean(axis=1)))
