"""The formulas of all reported figures: numpy arrays in, floats out, None if a figure is undefined.

Returns are simple returns per bar; the risk-free rate is 0. A ratio 0 / 0 (a run without trades) is 0.0; any other
division by 0 is undefined. Standard deviations below 1e-14 are rounding errors of equity ratios and count as 0.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scorenet.calendars import Clock

__all__ = [
    "annual_return",
    "bar_returns",
    "bar_win_rate",
    "calmar_ratio",
    "daily_equity",
    "drawdowns",
    "last_of_each",
    "max_drawdown",
    "month_of",
    "performance",
    "profit_factor",
    "returns_per_year",
    "sharpe_ratio",
    "sortino_ratio",
    "total_return",
    "turnover",
    "volatility",
    "win_rate",
    "without_cash_flows",
    "years_between",
]

_ROUNDING = 1e-14
_DAY_MS = 86_400_000
_YEAR_MS = 365 * _DAY_MS


def years_between(time: ArrayLike) -> float:
    """Return the time from the first to the last of `time` [N] (UTC ms) in years of 365 days."""
    stamps = np.asarray(time, dtype=np.int64)
    return float(stamps[-1] - stamps[0]) / _YEAR_MS if len(stamps) else 0.0


def returns_per_year(time: ArrayLike, clock: Clock | None = None) -> float | None:
    """Return the number of bar returns in a year, from the bar closes `time` [N] (UTC ms); None without a return.

    Without missing bars this is the number of bars in 365 days, or in a year of the calendar of `clock`. A missing bar
    makes the return after it span more time, and there are fewer of them in a year: a year is time, not a number of
    bars. Closed hours of the calendar are no missing bars.
    """
    stamps = np.asarray(time, dtype=np.int64)
    if clock is not None and clock.calendar is not None:
        trading = clock.trading_ms(stamps)
        passed = int(trading[-1] - trading[0]) if len(trading) else 0
        return (len(stamps) - 1) * clock.bars_per_year * clock.step_ms / passed if passed > 0 else None
    span = int(stamps[-1] - stamps[0]) if len(stamps) else 0
    return (len(stamps) - 1) * _YEAR_MS / span if span > 0 else None


def without_cash_flows(equity: ArrayLike, cash_flows: ArrayLike | None = None) -> NDArray[np.float64]:
    """Return equity [N] as it would be without deposits and withdrawals (time-weighted), starting at the first equity.

    `cash_flows` [N] are deposits minus withdrawals booked in each bar, part of that bar's equity and not yet invested
    in it: the bar's return is (equity - cash flow) / previous equity - 1. After ruin the result stays 0, whatever is
    deposited.
    """
    values = np.asarray(equity, dtype=np.float64)
    if cash_flows is None or len(values) < 2 or not np.any(cash_flows):
        return values
    earned = values - np.asarray(cash_flows, dtype=np.float64)
    before = values[:-1]
    alive = before > 0.0
    factors = np.where(alive, earned[1:] / np.where(alive, before, 1.0), 1.0)
    return values[0] * np.concatenate(([1.0], np.cumprod(factors)))


def bar_returns(equity: ArrayLike) -> NDArray[np.float64]:
    """Return the simple returns [N - 1] of equity [N]; the return of a bar that starts without equity is 0."""
    values = np.asarray(equity, dtype=np.float64)
    before = values[:-1]
    alive = before > 0.0
    return np.where(alive, values[1:] / np.where(alive, before, 1.0) - 1.0, 0.0)


def total_return(equity: ArrayLike) -> float | None:
    """Return last equity / first equity - 1 (fraction)."""
    values = np.asarray(equity, dtype=np.float64)
    return float(values[-1] / values[0] - 1.0) if len(values) and values[0] > 0.0 else None


def annual_return(total: float | None, n_bars: int, periods_per_year: float) -> float | None:
    """Return (1 + total)^(periods_per_year / n_bars) - 1, or -1.0 after ruin; `n_bars` counts returns."""
    if total is None or n_bars < 1:
        return None
    if total <= -1.0:
        return -1.0
    exponent = math.log1p(total) * periods_per_year / n_bars
    return math.expm1(exponent) if exponent < 700.0 else None  # larger than the largest float


def volatility(returns: ArrayLike, periods_per_year: float) -> float | None:
    """Return the annualised standard deviation (ddof 1) of bar returns (fraction)."""
    values = np.asarray(returns, dtype=np.float64)
    return float(values.std(ddof=1) * math.sqrt(periods_per_year)) if len(values) > 1 else None


def sharpe_ratio(returns: ArrayLike, periods_per_year: float) -> float | None:
    """Return mean / std (ddof 1) of bar returns, times sqrt(periods_per_year)."""
    values = np.asarray(returns, dtype=np.float64)
    if len(values) < 2:
        return None
    return _scaled_ratio(float(values.mean()), float(values.std(ddof=1)), periods_per_year)


def sortino_ratio(returns: ArrayLike, periods_per_year: float) -> float | None:
    """Return mean / sqrt(mean(min(r, 0)^2)) over all bars, times sqrt(periods_per_year)."""
    values = np.asarray(returns, dtype=np.float64)
    if len(values) < 2:
        return None
    downside = math.sqrt(float(np.mean(np.minimum(values, 0.0) ** 2)))
    return _scaled_ratio(float(values.mean()), downside, periods_per_year)


def _scaled_ratio(mean: float, deviation: float, periods_per_year: float) -> float | None:
    if deviation < _ROUNDING:
        return 0.0 if abs(mean) < _ROUNDING else None
    return mean / deviation * math.sqrt(periods_per_year)


def drawdowns(equity: ArrayLike) -> NDArray[np.float64]:
    """Return equity / its running maximum - 1 (<= 0, fraction), [N]."""
    values = np.asarray(equity, dtype=np.float64)
    return values / np.maximum.accumulate(values) - 1.0 if len(values) else values


def max_drawdown(equity: ArrayLike) -> float | None:
    """Return the deepest drawdown (<= 0, fraction)."""
    depths = drawdowns(equity)
    return float(depths.min()) if len(depths) else None


def calmar_ratio(annual: float | None, deepest: float | None) -> float | None:
    """Return annual return / |deepest drawdown|."""
    if annual is None or deepest is None:
        return None
    if deepest == 0.0:
        return 0.0 if annual == 0.0 else None
    return annual / abs(deepest)


def win_rate(pnl: ArrayLike) -> float | None:
    """Return the share of closed trades with a net profit."""
    values = np.asarray(pnl, dtype=np.float64)
    return float(np.mean(values > 0.0)) if len(values) else None


def bar_win_rate(returns: ArrayLike) -> float | None:
    """Return the share of bars with a gain among the bars with a nonzero return."""
    values = np.asarray(returns, dtype=np.float64)
    moved = np.count_nonzero(values)
    return float(np.count_nonzero(values > 0.0) / moved) if moved else None


def profit_factor(pnl: ArrayLike) -> float | None:
    """Return sum(net wins) / |sum(net losses)| of closed trades."""
    values = np.asarray(pnl, dtype=np.float64)
    losses = -float(values[values < 0.0].sum())
    return float(values[values > 0.0].sum()) / losses if losses > 0.0 else None


def turnover(traded: ArrayLike, equity: ArrayLike, years: float) -> float | None:
    """Return sum(|traded|) / mean equity / years; `traded` is the value of each order."""
    values = np.asarray(equity, dtype=np.float64)
    if not len(values) or years <= 0.0 or values.mean() <= 0.0:
        return None
    return float(np.abs(np.asarray(traded, dtype=np.float64)).sum() / values.mean() / years)


def performance(equity: ArrayLike, periods_per_year: float) -> dict[str, float | None]:
    """Return all figures that depend only on equity [N], by their names in metrics.json."""
    values = np.asarray(equity, dtype=np.float64)
    returns = bar_returns(values)
    total, deepest = total_return(values), max_drawdown(values)
    annual = annual_return(total, len(returns), periods_per_year)
    return {
        "total_return": total,
        "annual_return": annual,
        "volatility": volatility(returns, periods_per_year),
        "sharpe_ratio": sharpe_ratio(returns, periods_per_year),
        "sortino_ratio": sortino_ratio(returns, periods_per_year),
        "max_drawdown": deepest,
        "calmar_ratio": calmar_ratio(annual, deepest),
        "bar_win_rate": bar_win_rate(returns),
    }


def daily_equity(time: ArrayLike, equity: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return (day, equity), both [D]: the start of each UTC day in UTC ms, and the last equity of the day.

    Days are closed on the right: a bar that closes at 00:00 belongs to the day that ends then. `time` [N] is the bar
    close in UTC ms, increasing.
    """
    days = (np.asarray(time, dtype=np.int64) - 1) // _DAY_MS
    last = last_of_each(days)
    return days[last] * _DAY_MS, np.asarray(equity, dtype=np.float64)[last]


def month_of(time: ArrayLike) -> NDArray[np.int64]:
    """Return the start (UTC ms) of the UTC month of each bar close [N] (UTC ms).

    Months are closed on the right: a bar that closes at 00:00 on the first belongs to the month that ends then.
    """
    stamps = (np.asarray(time, dtype=np.int64) - 1).astype("datetime64[ms]")
    return stamps.astype("datetime64[M]").astype("datetime64[ms]").astype(np.int64)


def last_of_each(groups: NDArray[np.int64]) -> NDArray[np.intp]:
    """Return the index of the last row of each group of equal neighbours in `groups` [N]."""
    return np.flatnonzero(np.diff(groups, append=groups[-1:] + 1))
