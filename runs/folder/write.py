"""Write a finished run into its folder: metrics, tables, settings, manifest, page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from feeds.bars.frame import clock_of_frame
from scorenet import ScoreModel
from scorenet.calendars import Clock
from strategies.analyzers.regimes import profit_by_regime

from ..markets import as_market, describe
from ..plugins import loaded_plugins
from ..report.build import write_report
from ..result import Result, benchmark
from ..settings import Account
from ..statistics import compute_metrics, drawdown, growth
from .manifest import manifest, model_entry
from .run_warnings import after_run, before_run
from .rundir import RunDir

__all__ = ["RunInputs", "measure", "plain_settings", "write_run"]


@dataclass(frozen=True, kw_only=True)
class RunInputs:
    """The inputs of a run: command line, settings, model (None: without), bars and their sources, account.

    Trading starts at the bar close `start` (UTC ms).
    """

    command: str | Sequence[str]
    config: Mapping[str, Any]
    model: ScoreModel | None
    frames: Sequence[pd.DataFrame]
    sources: Sequence[str]
    account: Account
    start: int


def write_run(
    folder: RunDir,
    inputs: RunInputs,
    result: Result,
    *,
    page: bool = True,
    extra: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write every file of a run, without `page` all but report.html, and return metrics.json's content.

    `extra` is added to it.
    """
    model, frames, start = inputs.model, inputs.frames, inputs.start
    result = result.by_close()
    held = _at_times(benchmark(frames, inputs.account, start), result.equity["time"])
    metrics, equity = measure(result, held, clock_of_frame(frames[0]), model)
    metrics["regimes"] = _regimes(model, frames, equity, result.profit)
    metrics |= extra or {}
    quantile = inputs.config["strategy"].get("density_quantile")
    warnings = before_run(model, frames, start) + after_run(result, quantile)
    folder.write_frame("equity", equity)
    for name in ("orders", "trades", "decisions", "funding"):
        folder.write_frame(name, getattr(result, name))
    config = {name: value for name, value in inputs.config.items() if value is not None}
    config["strategy"] = plain_settings(config["strategy"])
    folder.write_config(config)
    folder.write_metrics(metrics)
    folder.write_manifest(
        manifest(
            inputs.command,
            config,
            [describe(frame, source) for frame, source in zip(frames, inputs.sources, strict=True)],
            None if model is None else model_entry(model, config.get("model")),
            None if model is None else model.config.seed,
            warnings,
            plugins=loaded_plugins(),
        )
    )
    if page:
        write_report(folder)
    return metrics


def plain_settings(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a strategy as TOML holds them: it has no null, and None turns a rule off as 0 does."""
    return {name: 0.0 if value is None else value for name, value in params.items()}


def _regimes(
    model: ScoreModel | None, frames: Sequence[pd.DataFrame], equity: pd.DataFrame, profit: pd.DataFrame
) -> dict[str, Any] | None:
    """Return each symbol's profit by its regimes; None if the model has no regimes."""
    if model is None or model.regime_map is None:
        return None
    closes, money = pd.DatetimeIndex(equity["time"]).as_unit("ms").asi8, equity["equity"].to_numpy()
    markets = [as_market(frame) for frame in frames]
    return {
        m.symbol: profit_by_regime(model, m.bars, m.step_ms, closes, money, profit[m.symbol].to_numpy())
        for m in markets
    }


def _at_times(held: Result, times: pd.Series) -> Result:
    """Read the benchmark at these times; a live run may have received the bars of one close one after the other."""
    if len(held.equity) == len(times) and (held.equity["time"] == times).all():
        return held
    equity = held.equity.set_index("time").reindex(pd.Index(times), method="ffill").bfill()
    return replace(held, equity=equity.rename_axis("time").reset_index())


def measure(
    result: Result, held: Result, clock: Clock, model: ScoreModel | None
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Return metrics.json's content and the equity table of a run with drawdown and benchmark.

    `clock` is that of the bars' calendar, at their size.
    """
    equity = result.equity.copy()
    equity["drawdown"] = drawdown(growth(equity))
    equity["benchmark"] = held.equity["equity"].to_numpy()
    held_metrics = compute_metrics(
        held.equity.assign(benchmark=held.equity["equity"]),
        held.orders,
        held.trades,
        held.decisions,
        held.funding,
        clock,
    )
    costs = {name: held_metrics[name] for name in _BENCHMARK_COSTS}
    metrics = compute_metrics(
        equity,
        result.orders,
        result.trades,
        result.decisions,
        result.funding,
        clock,
        benchmark_costs=costs,
        model=None if model is None else model.info["metrics"],
    )
    metrics["attribution"] = result.attribution or None
    metrics["benchmark"]["attribution"] = None  # it only holds
    return metrics, equity


_BENCHMARK_COSTS = ("fees", "funding", "slippage", "n_orders", "turnover", "exposure", "liquidations")
