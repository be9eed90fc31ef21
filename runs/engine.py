"""The only module that builds a Cerebro: all runs have the same costs, fills and analyzers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import backtrader as bt
import numpy as np
import pandas as pd

from feeds import BarsData
from strategies import PerpetualBroker, PerpetualCommission, add_scorenet_analyzers

from .folder.frames import conform, empty_frame
from .result import Result, benchmark
from .settings import Account

__all__ = ["Modes", "Result", "assemble", "benchmark", "build", "collect", "collect_from", "run"]


@dataclass(frozen=True, kw_only=True)
class Modes:
    """Backtrader's execution modes; results do not depend on them."""

    runonce: bool = True
    preload: bool = True
    exactbars: int = 0
    feed: type[bt.feed.DataBase] = BarsData


def build(
    frames: Sequence[pd.DataFrame],
    account: Account,
    strategy: type[bt.Strategy],
    params: Mapping[str, Any],
    *,
    since: int | None = None,
    modes: Modes | None = None,
) -> bt.Cerebro:
    """Return a Cerebro over canonical frames; equity is recorded from the bar close `since` (UTC ms)."""
    how = modes or Modes()
    datas = [(how.feed(dataname=frame, checked=True), str(frame.attrs["symbol"])) for frame in frames]
    return assemble(datas, account, strategy, params, since=since, modes=how)


def assemble(
    datas: Sequence[tuple[Any, str]],
    account: Account,
    strategy: type[bt.Strategy],
    params: Mapping[str, Any],
    *,
    since: int | None = None,
    modes: Modes | None = None,
) -> bt.Cerebro:
    """Return a Cerebro over (data, symbol) pairs, historical or live; otherwise as `build`."""
    how = modes or Modes()
    cerebro = bt.Cerebro(stdstats=False, runonce=how.runonce, preload=how.preload, exactbars=how.exactbars)
    account.check_coins(symbol for _, symbol in datas)
    broker = PerpetualBroker(cash=account.cash, costs=account.costs)
    cerebro.setbroker(broker)
    for data, symbol in datas:
        cerebro.adddata(data, name=symbol)
        own = account.costs_of(symbol)
        if own != account.costs:
            broker.addcommissioninfo(PerpetualCommission.of(own), name=symbol)
    cerebro.addstrategy(strategy, **params)
    add_scorenet_analyzers(cerebro, trade_from=since, warmup=True)
    return cerebro


def run(
    frames: Sequence[pd.DataFrame],
    account: Account,
    strategy: type[bt.Strategy],
    params: Mapping[str, Any],
    *,
    since: int | None = None,
    modes: Modes | None = None,
) -> Result:
    """Run one strategy over the frames and return its tables; `equity` does not have drawdown and benchmark yet."""
    return collect(build(frames, account, strategy, params, since=since, modes=modes).run()[0], since)


def collect(finished: bt.Strategy, since: int | None = None) -> Result:
    """Return the tables of a strategy that ran in a Cerebro of `build`, from the bar close `since` (UTC ms)."""
    names = (*_TABLES, "attribution", "in_distribution")
    return collect_from({name: getattr(finished.analyzers, name) for name in names}, finished.broker, since)


def collect_from(analyzers: Mapping[str, Any], broker: Any, since: int | None = None) -> Result:
    """Return the tables that analyzers have collected; `broker` may be Backtrader's own."""
    found = {name: dict(analyzers[name].get_analysis()) for name in _TABLES}
    found["trades"] = found["trades"]["closed"]
    symbols, profit = analyzers["attribution"].net
    # A strategy without a model records no decisions.
    tables = {
        name: _frame(columns, since) if columns else empty_frame(name) for name, columns in found.items()
    }
    return Result(
        **{name: conform(name, table) for name, table in tables.items() if name != "equity"},
        equity=tables["equity"],
        in_distribution=dict(analyzers["in_distribution"].get_analysis()),
        insurance=float(getattr(broker, "insurance", 0.0)),
        notes=tuple(broker.notes()) if hasattr(broker, "notes") else (),
        attribution=dict(analyzers["attribution"].get_analysis()),
        profit=pd.DataFrame(profit, columns=symbols),
    )


_TABLES = ("equity", "orders", "trades", "decisions", "funding")


def _frame(columns: Mapping[str, Any], since: int | None) -> pd.DataFrame:
    unused = {"gross"} | ({"cash_flow"} if not np.any(columns.get("cash_flow", 0.0)) else set())
    frame = pd.DataFrame({name: values for name, values in columns.items() if name not in unused})
    if since is not None and len(frame) and "time" in frame and "reason" in frame:
        frame = frame[frame["time"] >= since].reset_index(drop=True)
    for name in ("time", "decided", "opened", "closed"):
        if name in frame:
            frame[name] = pd.to_datetime(np.asarray(frame[name], dtype="int64"), unit="ms", utc=True)
    return frame
