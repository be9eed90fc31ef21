"""The figures of an equity curve in compiled form: the formulas of `analyzers.metrics`, NaN where one is undefined."""

from __future__ import annotations

import math
from typing import Any

from .jit import compiled

__all__ = ["FIGURES", "write_figures"]

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


@compiled
def write_figures(equity: Any, periods: float, out: Any) -> None:
    """Write `FIGURES` of equity [B] with `periods` returns a year."""
    count = equity.shape[0]
    total = deepest = 0.0
    peak, summed, squares = equity[0], equity[0], 0.0
    gains = moved = 0
    for t in range(1, count):
        change = _change(equity, t)
        total += change
        squares += min(change, 0.0) ** 2
        gains += change > 0.0
        moved += change != 0.0
        summed += equity[t]
        peak = max(peak, equity[t])
        deepest = min(deepest, equity[t] / peak - 1.0)
    returns = count - 1
    mean = total / returns if returns else 0.0
    spread = 0.0
    for t in range(1, count):
        spread += (_change(equity, t) - mean) ** 2
    std = math.sqrt(spread / (returns - 1)) if returns > 1 else math.nan
    downside = math.sqrt(squares / returns) if returns > 1 else math.nan
    out[0] = equity[count - 1]
    out[1] = equity[count - 1] / equity[0] - 1.0
    out[2] = _annual(out[1], returns, periods)
    out[3] = std * math.sqrt(periods)
    out[4] = _ratio(mean, std, periods)
    out[5] = _ratio(mean, downside, periods)
    out[6] = deepest
    out[7] = out[2] / abs(deepest) if deepest != 0.0 else (0.0 if out[2] == 0.0 else math.nan)
    out[8] = gains / moved if moved else math.nan
    out[9] = summed / count


@compiled
def _change(equity: Any, t: int) -> float:
    """Return the simple return of a bar; 0 if the bar starts without equity."""
    before = equity[t - 1]
    return equity[t] / before - 1.0 if before > 0.0 else 0.0


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
