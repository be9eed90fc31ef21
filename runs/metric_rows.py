"""Label, format and meaning of each metric in metrics.json, for the terminal and the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["FEWEST_DAYS", "ROWS", "MetricRow", "figure", "is_annualised", "show"]

MISSING = "–"
FEWEST_DAYS = 30
"""Days below which a figure a year says nothing and is shown as undefined; metrics.json has it all the same."""
_A_YEAR = ("annual_return", "volatility", "sharpe_ratio", "sortino_ratio", "calmar_ratio", "turnover")


@dataclass(frozen=True)
class MetricRow:
    """One metric: its key in metrics.json, its label, its format, its meaning."""

    key: str
    label: str
    kind: str
    meaning: str


ROWS = (
    MetricRow("total_return", "Total return", "percent", "last equity / first equity − 1, all costs paid"),
    MetricRow(
        "annual_return", "Annual return", "percent", "the total return compounded over a year of 365 days"
    ),
    MetricRow("volatility", "Volatility", "share", "standard deviation of bar returns × √(returns a year)"),
    MetricRow(
        "sharpe_ratio",
        "Sharpe ratio",
        "ratio",
        "mean / standard deviation of bar returns × √(returns a year)",
    ),
    MetricRow(
        "sortino_ratio",
        "Sortino ratio",
        "ratio",
        "mean / root mean square of the losing bar returns × √(returns a year)",
    ),
    MetricRow("max_drawdown", "Maximum drawdown", "percent", "deepest fall of equity below its earlier peak"),
    MetricRow("calmar_ratio", "Calmar ratio", "ratio", "annual return / |maximum drawdown|"),
    MetricRow("win_rate", "Win rate, trades", "share", "closed trades with a profit after all costs"),
    MetricRow("bar_win_rate", "Win rate, bars", "share", "bars with a gain among the bars with a change"),
    MetricRow(
        "profit_factor", "Profit factor", "ratio", "net profit of winning trades / net loss of losing trades"
    ),
    MetricRow(
        "in_distribution_ratio",
        "In-distribution ratio",
        "share",
        "share of bars in distribution, among those with a known state",
    ),
    MetricRow(
        "avg_confidence",
        "Average confidence",
        "ratio",
        "mean confidence of the signal over decided bars, 0 to 1",
    ),
    MetricRow("exposure", "Average exposure", "share", "mean |position value| / equity"),
    MetricRow("turnover", "Turnover a year", "times", "traded value / mean equity, a year"),
    MetricRow("n_trades", "Closed trades", "count", "positions opened and closed again"),
    MetricRow("n_orders", "Orders filled", "count", "orders filled, completely or in part"),
    MetricRow("fees", "Fees", "money", "exchange fees paid, in the quote currency"),
    MetricRow("funding", "Funding", "money", "perpetual funding paid; negative when received"),
    MetricRow("slippage", "Slippage", "money", "cost of fill prices worse than the open of the bar"),
    MetricRow(
        "liquidations", "Liquidations", "count", "positions closed by force because the margin was too small"
    ),
)


def is_annualised(metrics: Mapping[str, Any]) -> bool:
    """Return whether a run is long enough for figures a year, from its bars and their number a year."""
    bars, periods = metrics.get("bars"), metrics.get("periods_per_year")
    return not bars or not periods or 365 * bars / periods >= FEWEST_DAYS - 1e-9


def figure(key: str, metrics: Mapping[str, Any], run: Mapping[str, Any] | None = None) -> object:
    """Return a figure of `metrics` as it may be shown: None for one a year of a `run` that is too short for it."""
    return None if key in _A_YEAR and not is_annualised(run or metrics) else metrics.get(key)


def show(kind: str, value: object) -> str:
    """Return a figure as text by kind: percent (signed), share, ratio, times, money, count, number."""
    if value is None:
        return MISSING
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if kind in {"percent", "share"}:
        return _minus(f"{value * 100:+.2f} %" if kind == "percent" else f"{value * 100:.1f} %")
    if kind in {"ratio", "times"}:
        return _minus(f"{value:.2f}" + (" ×" if kind == "times" else ""))
    if kind == "money":
        return _minus(f"{value:,.2f}" if abs(value) < 100_000 else f"{value:,.0f}")
    if kind == "count":
        return _minus(f"{value:,.0f}")
    return _minus(f"{value:,}" if isinstance(value, int) else f"{value:.6g}")


def _minus(text: str) -> str:
    """Replace a leading hyphen by a minus sign; a number that rounds to zero gets none."""
    if text.startswith(("-", "+")) and not any(char in "123456789" for char in text):
        text = text[1:]
    return f"−{text[1:]}" if text.startswith("-") else text
