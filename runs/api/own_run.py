"""The run folder and the page of a run in a user's own Cerebro, of any strategy."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import backtrader as bt

from scorenet import ScoreModel
from strategies import (
    Attribution,
    Costs,
    Decisions,
    EquityCurve,
    Funding,
    InDistribution,
    Orders,
    ScoreStrategy,
    Trades,
)
from strategies.datas import bar_milliseconds, symbol_of
from strategies.trading_cost import trading_cost

from ..engine import collect_from
from ..folder.rundir import RunDir
from ..folder.write import RunInputs, write_run
from ..settings import Account
from .bars import frame_of

__all__ = ["report"]

_ANALYZERS = {
    "equity": EquityCurve,
    "orders": Orders,
    "trades": Trades,
    "decisions": Decisions,
    "funding": Funding,
    "attribution": Attribution,
    "in_distribution": InDistribution,
}
_PLAIN = (bool, int, float, str)


def report(run: Any, out: str | Path) -> Path:
    """Write the run folder and the page of a finished run, as `scorenet backtest` does; return the page's path.

    Args:
        run: a Cerebro that has run, what its `run()` returned, or one strategy; of this package or not. It needs the
            analyzers of `add_scorenet_analyzers(cerebro)`.
        out: the run folder; an earlier run in it is replaced.

    The benchmark holds the datas that a `ScoreStrategy` trades, otherwise those with an order, otherwise the first.

    Raises:
        TypeError: `run` is not a finished run of one strategy.
        ValueError: an analyzer is missing, or there is no bar; the message has the line of code that adds it.
        RunDirError: the folder cannot be written.
    """
    strategy = _strategy_of(run)
    analyzers = _analyzers_of(strategy)
    result = collect_from(analyzers, strategy.broker)
    if not len(result.equity):
        raise ValueError(
            "the analyzers have recorded no bar; give the run more bars, or an earlier trade_from"
        )
    datas = _benchmark_datas(strategy, set(result.orders["symbol"]))
    model, path = _model_of(strategy)
    frames = [frame_of(data, None if model is None else model.calendar) for data in datas]
    account = _account_of(strategy.broker, datas)
    inputs = RunInputs(
        command=["python", *sys.argv] if sys.argv[0] else "python",
        config={
            "command": "python",
            "class": type(strategy).__name__,
            "model": path,
            "bars": [symbol_of(data) for data in datas],
            "account": account.to_dict(),
            "strategy": {name: _plain(value) for name, value in strategy.p._getkwargs().items()},
        },
        model=model,
        frames=frames,
        sources=["data of a Cerebro"] * len(frames),
        account=account,
        start=int(analyzers["equity"].get_analysis()["time"][0]),
    )
    with RunDir.create(out) as folder:
        write_run(folder, inputs, result)
    return Path(out) / "report.html"


def _strategy_of(run: Any) -> Any:
    found = run
    if isinstance(found, bt.Cerebro):
        found = getattr(found, "runstrats", None) or []
    while isinstance(found, list | tuple) and len(found) == 1:
        found = found[0]
    if isinstance(found, bt.Strategy):
        return found
    if isinstance(found, list | tuple):
        raise TypeError(
            f"expected a finished run of one strategy, found {len(found)}; "
            "call cerebro.run() first, and of several strategies pass one: report(cerebro.run()[0], out)"
        )
    raise TypeError(
        f"expected a Cerebro that has run, or its strategy, found {type(found).__name__}; "
        "an optimisation keeps no bars, run its best set again with addstrategy"
    )


def _analyzers_of(strategy: Any) -> dict[str, Any]:
    there = list(strategy.analyzers)
    found = {
        name: next((one for one in there if isinstance(one, kind)), None) for name, kind in _ANALYZERS.items()
    }
    missing = [_ANALYZERS[name].__name__ for name, one in found.items() if one is None]
    if missing:
        raise ValueError(
            f"the report needs the analyzer(s) {', '.join(missing)}; before cerebro.run() call "
            "scorenet.add_scorenet_analyzers(cerebro)"
        )
    return found


def _benchmark_datas(strategy: Any, ordered: set[str]) -> list[Any]:
    if isinstance(strategy, ScoreStrategy):
        return list(strategy.traded)
    chosen = [data for data in strategy.datas if symbol_of(data) in ordered] or strategy.datas[:1]
    # The equity of a benchmark has one bar size: that of the shortest bars.
    shortest = min(bar_milliseconds(data) for data in chosen)
    return [data for data in chosen if bar_milliseconds(data) == shortest]


def _model_of(strategy: Any) -> tuple[ScoreModel | None, str | None]:
    """Return the newest model of a strategy, and the folder that it came from, if it has one of its own."""
    schedule = getattr(strategy, "models", None) if isinstance(strategy, ScoreStrategy) else None
    if schedule is None:
        return None, None
    source = strategy.p.model
    return schedule.models[-1], str(source) if isinstance(source, str | Path) else None


def _account_of(broker: Any, datas: Sequence[Any]) -> Account:
    """Return the account's cash and costs; of Backtrader's own broker the fee and slippage in percent."""
    cash = float(broker.startingcash)
    if not hasattr(broker, "costs_of"):
        return Account(
            cash=cash,
            taker=trading_cost(broker, datas[0]),
            slippage=0.0,
            lot_step=0.0,
            min_notional=0.0,
            contract="linear",
            funding=False,
        )
    costs = [broker.costs_of(data) for data in datas]
    own = {
        symbol_of(data): _changes(costs[0], other)
        for data, other in zip(datas[1:], costs[1:], strict=True)
        if other != costs[0]
    }
    return Account(cash=cash, **asdict(costs[0]), symbols=own)


def _changes(base: Costs, other: Costs) -> dict[str, Any]:
    names = [item.name for item in fields(Costs)]
    return {name: getattr(other, name) for name in names if getattr(other, name) != getattr(base, name)}


def _plain(value: Any) -> Any:
    """Return a parameter as TOML can hold it."""
    if value is None or isinstance(value, _PLAIN):
        return value
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return symbol_of(value) if isinstance(value, bt.AbstractDataBase) else str(value)
