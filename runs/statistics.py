"""The metrics of metrics.json, computed from the tables of a run, and the table for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from scorenet.calendars import Clock
from strategies.analyzers.metrics import drawdowns as drawdown
from strategies.analyzers.metrics import (
    performance,
    profit_factor,
    returns_per_year,
    turnover,
    win_rate,
    without_cash_flows,
    years_between,
)

from .metric_rows import ROWS, figure, show

__all__ = ["compute_metrics", "drawdown", "format_table", "growth"]

Array = npt.NDArray[np.float64]


def compute_metrics(
    equity: pd.DataFrame,
    orders: pd.DataFrame,
    trades: pd.DataFrame,
    decisions: pd.DataFrame,
    funding: pd.DataFrame,
    clock: Clock,
    *,
    benchmark_costs: Mapping[str, float] | None = None,
    model: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the content of metrics.json from the tables of one run.

    Args:
        clock: that of the bars' market and size; it sets `periods_per_year`, together with the times of the bars,
            because a year is time and not a number of bars.
        benchmark_costs: metrics of buy-and-hold that its equity does not contain: fees, funding, slippage,
            n_orders, turnover, exposure, ...; they override the defaults.
        model: the model's held-out metrics, copied unchanged.

    Raises:
        ValueError: The equity has no row or holds a value that is not finite.
    """
    if not len(equity):
        raise ValueError("the run has no bar: nothing to measure")
    times = pd.to_datetime(equity["time"], utc=True)
    stamps = times.astype("datetime64[ms, UTC]").astype("int64").to_numpy()
    periods = returns_per_year(stamps, clock) or clock.bars_per_year
    filled = orders[(orders["size"] != 0.0) & (orders["price"] > 0.0)]
    metrics: dict[str, Any] = dict(performance(growth(equity), periods))
    metrics |= _trade_metrics(trades)
    metrics |= _activity_metrics(equity, filled, years_between(stamps))
    metrics |= {
        "fees": float(orders["fee"].sum()),
        "funding": float(funding["amount"].sum()),
        "slippage": float(filled["slippage"].sum()),
        "liquidations": int(filled["liquidation"].sum()),
    }
    metrics |= _density_metrics(decisions)
    metrics |= {
        "periods_per_year": periods,
        **({} if clock.calendar is None else {"calendar": clock.calendar}),
        "bars": len(equity),
        "start": _iso(times.iloc[0]),
        "end": _iso(times.iloc[-1]),
    }
    metrics["benchmark"] = _benchmark_metrics(metrics, equity, periods, benchmark_costs or {})
    metrics["model"] = None if model is None else dict(model)
    return metrics


def growth(equity: pd.DataFrame, column: str = "equity") -> Array:
    """Return the equity [N] of a run as it would be without deposits and withdrawals (column `cash_flow`, if any).

    Raises:
        ValueError: a value is not finite, or the first is not positive.
    """
    flows = equity["cash_flow"].to_numpy(np.float64) if "cash_flow" in equity and column == "equity" else None
    return without_cash_flows(_values(equity, column), flows)


def format_table(metrics: Mapping[str, Any], *, name: str = "strategy") -> str:
    """Return a plain-text table of one run, or of several by name, next to buy-and-hold.

    Args:
        metrics: the content of one metrics.json, or a mapping of names to such contents; the benchmark column is
            that of the first.
        name: heading of the only column if one run is given.
    """
    runs: dict[str, Mapping[str, Any]] = {name: metrics} if "total_return" in metrics else dict(metrics)
    if not runs:
        return ""
    benchmark = next(iter(runs.values())).get("benchmark")
    columns = runs | ({"buy & hold": benchmark} if benchmark else {})
    body = [
        [row.label, *(show(row.kind, figure(row.key, column)) for column in columns.values())] for row in ROWS
    ]
    table = [["", *columns], *body]
    widths = [max(len(line[i]) for line in table) for i in range(len(columns) + 1)]
    lines = [
        "  ".join(
            [line[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(line[1:], widths[1:], strict=True))]
        )
        for line in table
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def _trade_metrics(trades: pd.DataFrame) -> dict[str, Any]:
    net = trades["net_pnl"].to_numpy(np.float64)
    return {"win_rate": win_rate(net), "profit_factor": profit_factor(net), "n_trades": len(net)}


def _activity_metrics(equity: pd.DataFrame, filled: pd.DataFrame, years: float) -> dict[str, Any]:
    """Return number of orders, turnover (multiples of mean equity per year) and mean absolute exposure."""
    traded = filled["value"] if "value" in filled else filled["size"] * filled["price"]
    return {
        "n_orders": len(filled),
        "turnover": turnover(traded.to_numpy(np.float64), equity["equity"].to_numpy(np.float64), years),
        "exposure": float(equity["exposure"].abs().mean()),
    }


def _density_metrics(decisions: pd.DataFrame) -> dict[str, Any]:
    """Return in-distribution ratio and mean confidence, over the bars with a decision and a state."""
    decided = decisions[decisions["reason"] != "warmup"]
    confidence = decided["confidence"].dropna()
    known = decided[decided["in_distribution"].notna()]
    by_symbol = known.groupby("symbol", sort=True)["in_distribution"].mean()
    return {
        "in_distribution_ratio": float(known["in_distribution"].mean()) if len(known) else None,
        "bars_without_state": len(decided) - len(known),
        "in_distribution_ratio_by_symbol": {str(symbol): float(share) for symbol, share in by_symbol.items()},
        "avg_confidence": float(confidence.mean()) if len(confidence) else None,
    }


def _benchmark_metrics(
    metrics: Mapping[str, Any], equity: pd.DataFrame, periods: float, known: Mapping[str, float]
) -> dict[str, Any]:
    """Return the same keys for buy-and-hold; by default one order, no closed trade, exposure 1."""
    ratios: dict[str, Any] = {"in_distribution_ratio": None, "in_distribution_ratio_by_symbol": {}}
    no_model = ratios | {"bars_without_state": 0, "avg_confidence": None}
    no_trade = {"win_rate": None, "profit_factor": None, "n_trades": 0, "n_orders": 1, "liquidations": 0}
    no_costs = {"fees": 0.0, "funding": 0.0, "slippage": 0.0, "turnover": None, "exposure": 1.0}
    span = {key: metrics[key] for key in ("periods_per_year", "bars", "start", "end")}
    curve = performance(_values(equity, "benchmark"), periods)
    return curve | no_model | no_trade | no_costs | span | dict(known)


def _values(equity: pd.DataFrame, column: str) -> Array:
    values = equity[column].to_numpy(np.float64)
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values))[0])
        raise ValueError(
            f"{column} is {values[row]} at row {row}: expected a finite amount of money on every bar"
        )
    if values[0] <= 0:
        raise ValueError(f"{column} starts at {values[0]}: expected a positive amount of money")
    return values


def _iso(moment: pd.Timestamp) -> str:
    return moment.tz_convert("UTC").strftime("%Y-%m-%dT%H:%M:%SZ")
