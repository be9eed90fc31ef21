"""The regimes of a model's states, one by one or in the order of time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError
from .regime_map import RegimeMap

__all__ = ["latest_regime", "on_grid", "required", "state_regimes"]

Array = NDArray[np.float64]

_LONGEST = 50_000_000  # bars that a span may have


def required(found: RegimeMap | None) -> RegimeMap:
    """Return a model's regimes.

    Raises:
        ConfigError: the model has none.
    """
    if found is None:
        raise ConfigError(
            "this model has no regimes: its folder was written before there were any, or its features name no "
            "volatility; train it again, or use model.with_regimes(x, time) with the states of its training span"
        )
    return found


def state_regimes(
    found: RegimeMap | None, position: Array, time: NDArray[np.int64] | None, step_ms: int | None
) -> NDArray[np.int64]:
    """Return the regime of each position [N, 2]: by the flow, or with `time` [N] by the filter.

    Raises:
        ConfigError: the model has no regimes, or the times do not increase by whole bars.
    """
    known = required(found)
    if time is None:
        return known.by_flow(position)
    place, grid = on_grid(position, time, int(step_ms or 1))
    return known.by_filter(grid)[place]


def latest_regime(
    found: RegimeMap | None, position: Array, time: NDArray[np.int64], step_ms: int | None
) -> int:
    """Return the last label of `state_regimes` with `time`; the last 168 positions are enough.

    Raises:
        ConfigError: the model has no regimes, or the times do not increase by whole bars.
    """
    return required(found).latest(on_grid(position, time, int(step_ms or 1))[1])


def on_grid(rows: Array, time: NDArray[np.int64], step_ms: int) -> tuple[NDArray[np.int64], Array]:
    """Return the place [N] of each row on the grid of bars, and the rows there [T, C], NaN at missing bars.

    Raises:
        ConfigError: the times [N] (UTC ms) do not increase by whole bars.
    """
    when = np.asarray(time, dtype=np.int64)
    if when.shape != (len(rows),):
        raise ConfigError(
            f"regimes: expected a time for each of {len(rows)} states, found {list(when.shape)}"
        )
    if not len(when):
        return when, rows
    offset = when - when[0]
    if (np.diff(offset) <= 0).any() or (offset % step_ms).any() or offset[-1] // step_ms >= _LONGEST:
        raise ConfigError(
            f"regimes: expected the times of one symbol's bars of {step_ms} ms, each later than the one before; "
            "label each symbol on its own"
        )
    place = offset // step_ms
    grid = np.full((int(place[-1]) + 1, rows.shape[1]), np.nan)
    grid[place] = rows
    return place, grid
