"""Write the run folder of a live run: a backtest's tables, metrics and report, from the bars of the journal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from feeds.bars.times import iso
from scorenet import ScoreModel

from ..engine import collect
from ..folder.rundir import RunDir
from ..folder.write import RunInputs, write_run
from ..settings import Account
from .journal import Journal
from .record import journaled_bars

__all__ = ["Setup", "publish"]


@dataclass(frozen=True, kw_only=True)
class Setup:
    """The inputs of a run besides its bars: the model and its folder, the account, the strategy's parameters."""

    model: ScoreModel
    model_dir: str | Path
    account: Account
    params: Mapping[str, Any]


def publish(
    journal: Journal,
    header: Mapping[str, Any],
    setup: Setup,
    strategy: Any,
    command: str | Sequence[str],
    exchange: str,
) -> dict[str, Any] | None:
    """Write tables and report of a finished strategy, return metrics.json's content; None if no bar was traded."""
    start, settings = int(header["trade_from"]), header["settings"]
    result = collect(strategy, start)
    if not len(result.equity):
        return None
    timeframe, columns = settings["timeframe"], tuple(settings["columns"])
    inputs = RunInputs(
        command=command,
        config={
            "command": "live",
            "model": str(setup.model_dir),
            "symbols": settings["symbols"],
            "since": iso(int(header["first"])),
            "account": setup.account.to_dict(),
            "strategy": dict(setup.params),
            "real_orders": next((r["place"] or None for r in journal.records("reconciled")), None),
        },
        model=setup.model,
        frames=[journaled_bars(journal, symbol, timeframe, columns) for symbol in settings["symbols"]],
        sources=[f"{exchange}:{symbol}@{timeframe}" for symbol in settings["symbols"]],
        account=setup.account,
        start=start,
    )
    return write_run(RunDir(journal.path.parent), inputs, result)
