"""`scorenet walkforward`: options in, a run folder out."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from scorenet.base.printable import printable

from .options import SIGNAL, FiniteRange, over_bars, print_result
from .search_options import search_options

if TYPE_CHECKING:
    from ..markets import LoadOptions

__all__ = ["walkforward"]


@click.command()
@over_bars
@SIGNAL
@click.option(
    "--train", type=FiniteRange(), required=True, metavar="DAYS", help="Length of each training part."
)
@click.option(
    "--test",
    type=FiniteRange(),
    required=True,
    metavar="DAYS",
    help="Length of each test part: a refit after each.",
)
@click.option(
    "--validation",
    type=FiniteRange(),
    default=0.0,
    metavar="DAYS",
    help="Length of the part between the two on which settings are chosen; needs --grid or --trials.",
)
@click.option(
    "--expanding", is_flag=True, help="Train on all bars before, not on the last --train days only."
)
@click.option(
    "--purge",
    type=int,
    metavar="BARS",
    help="Bars left out for targets that reach forward; default: the horizon.",
)
@click.option(
    "--embargo",
    type=int,
    metavar="BARS",
    help="Bars left out for features that look back; default: the lookback.",
)
@click.option("--warm-start", is_flag=True, help="Begin each training with the weights of the fold before.")
@click.option(
    "--combinatorial",
    metavar="GROUPS,TEST_GROUPS",
    help="Besides, train on every choice of groups of bars and trade the others: the spread of many paths.",
)
@click.option(
    "--features", metavar="SET", help="Feature set: chapter, extended (default), or a registered name."
)
@search_options
@click.option(
    "--objective", default="sharpe_ratio", show_default=True, metavar="METRIC", help="What is chosen by."
)
@click.option("--resume", is_flag=True, help="Go on with the walk-forward in RUN_DIR after a kill.")
def walkforward(sources: tuple[str, ...], load: LoadOptions, as_json: bool, out: str, **options: Any) -> None:
    """Refit on the way: train, choose settings and trade fold by fold, in one continuous account.

    Every bar is traded by a model and settings from earlier bars only. The models are kept: another run with other
    thresholds trains none of them again.
    """
    from pathlib import Path

    from ..walkforward import WalkRequest
    from ..walkforward import walkforward as run_walkforward
    from ..walkforward.text import format_walk

    request = WalkRequest(bars=sources, load=load, out=out, command=["scorenet", *sys.argv[1:]], **options)
    metrics = run_walkforward(request)
    path = Path(out) / "report.html"
    text = "" if as_json else printable(format_walk(metrics, path))
    print_result({**metrics, "report": str(path)}, as_json, text)
