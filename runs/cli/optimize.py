"""`scorenet optimize`: options in, a run folder out."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from scorenet.base.printable import printable

from .options import SIGNAL, over_bars, print_result
from .search_options import search_options

if TYPE_CHECKING:
    from ..markets import LoadOptions

__all__ = ["optimize"]


@click.command()
@click.option("--model", metavar="MODEL_DIR", help="The model whose outputs all trials share.")
@over_bars
@SIGNAL
@search_options
@click.option(
    "--objective",
    "objectives",
    multiple=True,
    metavar="METRIC",
    help="What is searched for (default: sharpe_ratio); several with --sampler optuna; the first decides.",
)
@click.option(
    "--holdout",
    default="0.25",
    show_default=True,
    metavar="SHARE|DATE",
    help="The last part of the bars, which the search never sees and the best is judged on once; 0: none.",
)
@click.option(
    "--confirm",
    type=int,
    default=5,
    show_default=True,
    metavar="K",
    help="Number of best trials of a compiled replay that are run again in Cerebro.",
)
@click.option(
    "--strategy", metavar="FILE.py:NAME", help="Your own Backtrader strategy; its params are settings."
)
@click.option("--prune", is_flag=True, help="Stop a trial early that is below the median of earlier ones.")
@click.option(
    "--ahead",
    type=int,
    default=8,
    show_default=True,
    metavar="N",
    help="Trials that a sampler that learns proposes before it knows the first one's result.",
)
@click.option(
    "--resume", is_flag=True, help="Go on with the study in RUN_DIR after a kill, or add trials to it."
)
def optimize(
    sources: tuple[str, ...],
    load: LoadOptions,
    as_json: bool,
    out: str,
    objectives: tuple[str, ...],
    **options: Any,
) -> None:
    """Search the settings of the strategy; judge the best against the luck of that many trials.

    All trials share the model's outputs. The last line says whether the best is distinguishable from luck, by which
    statistic and after how many trials.
    """
    from ..optimize import Request
    from ..optimize import optimize as run_optimize

    request = Request(
        bars=sources,
        load=load,
        out=out,
        objectives=objectives or ("sharpe_ratio",),
        command=["scorenet", *sys.argv[1:]],
        **options,
    )
    metrics = run_optimize(request)
    _print(metrics, out, as_json)


def _print(metrics: dict[str, Any], out: str, as_json: bool) -> None:
    from pathlib import Path

    from ..optimize.text import format_study

    path = Path(out) / "report.html"
    text = "" if as_json else printable(format_study(metrics, path))
    print_result({**metrics, "report": str(path)}, as_json, text)
