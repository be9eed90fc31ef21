"""Fit the regimes of a training span: candidates of coordinates and sigma, the most stable level, persistence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..config import RegimeConfig
from ..errors import TooFewBars
from .coordinates import COORDINATES
from .flow import SampleDenoiser, basins, climb
from .measure import measured
from .regime_map import LIMIT, RegimeMap
from .stability import agreement

__all__ = ["LEVELS", "fit_regimes", "runs_of"]

Array = NDArray[np.float64]
Times = NDArray[np.int64]

LEVELS = (0.15, 0.2, 0.25, 0.3, 0.4, 0.5)  # sigma in standard deviations of a coordinate
_REACH = 24  # bars before and after a training state over which it is averaged: a regime outlasts the flicker
_ROWS = 384  # rows of the density; neighbours are dependent, so more would add little
_LEAST_SHARE = 0.05  # a regime has at least this share of the time
_STABLE = 0.4  # two halves of the span agree at least this well on the regimes (adjusted Rand index)
_SPLITS = 8
_LEAST_ROWS = 256


class _Level(NamedTuple):
    """A level that was tried, its number of regimes and their stability."""

    sigma: float
    regimes: int
    stability: float


def fit_regimes(
    x: Array, position: Array, time: Times, step_ms: int, settings: RegimeConfig, *, seed: int = 0
) -> RegimeMap:
    """Return the regimes of training states x [N, F] at positions [N, 2] (see `coordinates`), time [N] in UTC ms.

    Rows of several symbols follow each other, each in the order of time. With sigma 0 in the settings, the finest
    level is taken whose regimes two halves of the span agree on; if there is none, the map has one regime.

    Raises:
        TooFewBars: there are fewer than 256 rows.
    """
    if len(x) < _LEAST_ROWS:
        raise TooFewBars(_LEAST_ROWS, len(x), "find regimes")
    uses, sigma = settings.uses, settings.sigma
    columns = [COORDINATES.index(name) for name in uses]
    used = position[:, columns]
    centre, scale = used.mean(axis=0), np.maximum(used.std(axis=0), 1e-12)
    starts = runs_of(time, step_ms)
    smooth = _average(np.clip((used - centre) / scale, -LIMIT, LIMIT), starts)
    density = torch.from_numpy(smooth[np.linspace(0, len(smooth) - 1, min(_ROWS, len(smooth))).astype(int)])
    tried = _levels(density, (sigma,) if sigma else LEVELS, seed)
    best = _choose(tried, forced=sigma > 0)
    modes = basins(climb(SampleDenoiser(density), density, best.sigma), best.sigma, _LEAST_SHARE)[0]
    if best.regimes == 1:
        modes = density.mean(dim=0, keepdim=True)
    draft = RegimeMap(
        names=("",) * len(modes),
        sigma=best.sigma,
        stability=best.stability,
        uses=uses,
        centre=centre,
        scale=scale,
        rows=density.numpy(),
        modes=modes.numpy(),
        tried=tuple(level._asdict() for level in tried),
        **_unknown(len(modes), len(columns), x.shape[1]),
    )
    averaged = position.copy()
    averaged[:, columns] = smooth * scale + centre
    return measured(draft, x, position, draft.by_flow(averaged), starts)


def runs_of(time: Times, step_ms: int) -> NDArray[np.bool_]:
    """Return [N] whether a row is not the next bar after the row before it."""
    return np.concatenate([[True], np.diff(time) != step_ms])


def _levels(density: Tensor, levels: Sequence[float], seed: int) -> list[_Level]:
    """Return the number of regimes and its stability by level, from fine to coarse, up to a level with one."""
    found: list[_Level] = []
    for sigma in levels:
        count = len(basins(climb(SampleDenoiser(density), density, sigma), sigma, _LEAST_SHARE)[0])
        if count == 1:
            return [*found, _Level(sigma, 1, 1.0)]
        found.append(
            _Level(sigma, count, agreement(density, sigma, least=_LEAST_SHARE, splits=_SPLITS, seed=seed))
        )
    return found


def _choose(tried: Sequence[_Level], *, forced: bool) -> _Level:
    for level in tried:
        if level.regimes > 1 and (forced or level.stability >= _STABLE):
            return level
    return _Level(tried[-1].sigma, 1, 1.0)


def _average(z: Array, starts: NDArray[np.bool_]) -> Array:
    """Return the mean over the neighbouring rows [N, C], as many before as after; fewer at the ends of a run."""
    sums = np.concatenate([np.zeros((1, z.shape[1])), z.cumsum(axis=0)])
    index = np.arange(len(z))
    first = np.maximum.accumulate(np.where(starts, index, 0))
    ends = np.append(starts[1:], True)
    last = np.minimum.accumulate(np.where(ends, index, len(z))[::-1])[::-1]
    reach = np.minimum(np.minimum(index - first, last - index), _REACH)
    return np.asarray((sums[index + reach + 1] - sums[index - reach]) / (2 * reach + 1)[:, None])


def _unknown(count: int, width: int, features: int) -> dict[str, Any]:
    """Return the figures of a map before they are measured."""
    even = np.full(count, 1.0 / count)
    zero, one = np.zeros((count, width)), np.ones((count, width))
    states, table = np.zeros((count, features)), np.full((count, count), 1.0 / count)
    return {
        "mean": zero,
        "std": one,
        "states": states,
        "transitions": table,
        "share": even,
        "persistence": even,
    }
