"""`scorenet demo`: training, backtest and report, offline, on a simulated market with a known edge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from scorenet import ModelConfig
from scorenet.base.times import iso

from .backtest import backtest, strategy_defaults
from .markets import LoadOptions
from .settings import Account
from .train import train

__all__ = ["demo"]

SOURCE = "simulated:planted?seed=1&bars=40000&edge=0.15"
_TRADED = 8_760  # the last simulated year
_HORIZON = 24  # the market's edge lives for about a day


def demo(out: str | Path, models: str | Path, *, progress: bool = True) -> dict[str, Any]:
    """Train on three and a half simulated years, trade the following year; return metrics.json's content.

    The expected next return depends on the last 24 hours by a known amount; the rest of the market is noise.
    """
    from feeds import load_bars

    frame = load_bars(SOURCE)
    cut = iso(int(frame["timestamp"].iloc[-_TRADED]))
    model_dir = Path(models)
    click.echo(f"1/2 training on {SOURCE} up to {cut}", err=True)
    train(
        [SOURCE],
        model_dir,
        ModelConfig().with_values(**{"forward.horizon": _HORIZON}),
        LoadOptions(until=cut, progress=progress),
    )
    click.echo(f"2/2 trading the bars after {cut} with fees, slippage and funding", err=True)
    return backtest(
        model_dir,
        [SOURCE],
        out,
        Account(),
        strategy_defaults(),
        LoadOptions(since=cut, progress=progress),
        command="scorenet demo",
    )
