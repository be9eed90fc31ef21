"""The figures of an equity curve in compiled form: the formulas of `analyzers.metrics`, NaN where one is undefined."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from .jit import allocating, compiled

__all__ = ["FIGURES", "Curve", "new_curve", "write_curve", "write_figures"]

FIGURES = (
    "final_equity",
    "total_return",
    "annual_return",
    "volatility",
    "sharpe_ratio",
    "sortino_ratio",
    "max_drawdown",
    "calmar_ratio",
    "bar_win_rate",
    "mean_equity",
)

_ROUNDING = 1e-14
_LARGEST = 700.0  # exp of more is larger than the largest float


class Curve(NamedTuple):
    """Equity from the first counted close on, in steps: for how many closes it has each level.

    Attributes:
        level: equity of each step [steps].
        closes: number of closes of each step [steps].
        change: working memory [steps].
    """

    level: Any
    closes: Any
    change: Any


@allocating
def new_curve(closes: int) -> Curve:
    """Return room for a curve of at most `closes` steps."""
    return Curve(np.zeros(closes), np.zeros(closes, dtype=np.int64), np.zeros(closes))


@compiled
def write_curve(curve: Curve, steps: int, equity: Any) -> None:
    """Write the equity at each close [B]."""
    t = 0
    for k in range(steps):
        for _ in range(curve.closes[k]):
            equity[t] = curve.level[k]
            t += 1


@compiled
def write_figures(curve: Curve, steps: int, periods: float, out: Any) -> None:
    """Write `FIGURES` of an equity curve with `periods` returns a year."""
    count = curve.closes[0]
    total = deepest = 0.0
    last = peak = curve.level[0]
    summed, squares = last * count, 0.0
    gains = moved = 0
    for k in range(1, steps):
        level = curve.level[k]
        change = level / last - 1.0 if last > 0.0 else 0.0  # 0 if the bar starts without equity
        curve.change[k] = change
        total += change
        squares += min(change, 0.0) ** 2
        gains += change > 0.0
        moved += change != 0.0
        summed += level * curve.closes[k]
        peak = max(peak, level)
        deepest = min(deepest, level / peak - 1.0)
        count += curve.closes[k]
        last = level
    returns = count - 1
    mean = total / returns if returns else 0.0
    # The other closes of a step have a return of 0.
    spread = (count - steps) * mean * mean
    for k in range(1, steps):
        spread += (curve.change[k] - mean) ** 2
    first = curve.level[0]
    std = math.sqrt(spread / (returns - 1)) if returns > 1 else math.nan
    downside = math.sqrt(squares / returns) if returns > 1 else math.nan
    out[0] = last
    out[1] = last / first - 1.0
    out[2] = _annual(out[1], returns, periods)
    out[3] = std * math.sqrt(periods)
    out[4] = _ratio(mean, std, periods)
    out[5] = _ratio(mean, downside, periods)
    out[6] = deepest
    out[7] = out[2] / abs(deepest) if deepest != 0.0 else (0.0 if out[2] == 0.0 else math.nan)
    out[8] = gains / moved if moved else math.nan
    out[9] = summed / count


@compiled
def _annual(total: float, returns: int, periods: float) -> float:
    if returns < 1:
        return math.nan
    if total <= -1.0:
        return -1.0
    exponent = math.log1p(total) * periods / returns
    return math.expm1(exponent) if exponent < _LARGEST else math.nan


@compiled
def _ratio(mean: float, deviation: float, periods: float) -> float:
    if deviation != deviation:
        return math.nan
    if deviation < _ROUNDING:
        return 0.0 if abs(mean) < _ROUNDING else math.nan
    return mean / deviation * math.sqrt(periods)
