"""Confidence intervals of one strategy's figures, by the stationary bootstrap.

They say how precisely this history shows the figure. They know nothing of a search: the best of many trials has an
interval that is too high.

References:
    The stationary bootstrap (Politis and Romano, 1994, JASA 89); percentile intervals (Efron and Tibshirani, 1993).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .bootstrap import block_length, resample_rows
from .trials import Array, SelectionError, one_series

__all__ = ["Interval", "intervals"]

_FEWEST_RESAMPLES = 99


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A figure of the history, and the limits that hold it with the given confidence."""

    value: float
    low: float
    high: float


def intervals(
    returns: ArrayLike,
    periods_per_year: float,
    *,
    confidence: float = 0.95,
    resamples: int = 1000,
    block: float | None = None,
    seed: int = 0,
) -> dict[str, Interval]:
    """Return the intervals of `sharpe_ratio`, `annual_return` and `max_drawdown`, named and defined as in metrics.json.

    `returns` [T] are simple returns per period. `block` is the mean block length in periods; by default what suits the
    returns.

    Raises:
        SelectionError: the returns never vary, are not finite or fewer than 3; an argument is out of range.
    """
    values = one_series(returns)
    if not 0.0 < confidence < 1.0 or resamples < _FEWEST_RESAMPLES or not periods_per_year > 0.0:
        raise SelectionError(
            f"expected a confidence in (0, 1), at least {_FEWEST_RESAMPLES} resamples and a positive number of periods "
            f"per year; found {confidence!r}, {resamples!r}, {periods_per_year!r}"
        )
    block = block_length(values) if block is None else block
    found: dict[str, list[Array]] = {name: [] for name in _FIGURES}
    for rows in resample_rows(len(values), block, resamples, np.random.default_rng(seed)):
        drawn = values[rows]
        for name, figure in _FIGURES.items():
            found[name].append(figure(drawn, periods_per_year))
    tail = (1.0 - confidence) / 2.0
    limits = {}
    for name, figure in _FIGURES.items():
        low, high = np.quantile(np.concatenate(found[name]), (tail, 1.0 - tail))
        value = float(figure(values[None, :], periods_per_year)[0])
        limits[name] = Interval(value=value, low=float(low), high=float(high))
    return limits


def _sharpe(returns: Array, periods_per_year: float) -> Array:
    deviation = np.maximum(returns.std(axis=1, ddof=1), 1e-14)
    ratio: Array = returns.mean(axis=1) / deviation * np.sqrt(periods_per_year)
    return ratio


def _annual_return(returns: Array, periods_per_year: float) -> Array:
    with np.errstate(divide="ignore"):  # log 0 after ruin is minus infinity, and exp gives back -1
        total = np.log1p(np.maximum(returns, -1.0)).sum(axis=1)
    # A very short history annualises to more than a float64 holds.
    annual: Array = np.expm1(np.minimum(total * (periods_per_year / returns.shape[1]), 700.0))
    return annual


def _max_drawdown(returns: Array, periods_per_year: float) -> Array:
    equity = np.cumprod(1.0 + np.maximum(returns, -1.0), axis=1)
    peak = np.maximum(np.maximum.accumulate(equity, axis=1), 1.0)
    deepest: Array = (equity / peak).min(axis=1) - 1.0
    return deepest


_FIGURES: dict[str, Callable[[Array, float], Array]] = {
    "sharpe_ratio": _sharpe,
    "annual_return": _annual_return,
    "max_drawdown": _max_drawdown,
}
