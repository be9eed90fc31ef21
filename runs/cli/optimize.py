"""`scorenet optimize`: options in, a run folder out."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from scorenet.base.printable import printable

from .options import DEVICE, SIGNAL, THREADS, over_bars, print_result

if TYPE_CHECKING:
    from ..markets import LoadOptions

__all__ = ["optimize"]


@click.command()
@click.option("--model", metavar="MODEL_DIR", help="The model whose outputs all trials share.")
@over_bars
@SIGNAL
@click.option("--grid", multiple=True, metavar="KEY=V1,V2,...", help="Values of a setting; may be repeated.")
@click.option(
    "--space",
    multiple=True,
    metavar="KEY=LOW..HIGH[,log][,int]",
    help="A range of a setting, for --trials; may be repeated.",
)
@click.option(
    "--trials", type=int, metavar="N", help="Number of trials; without it, every combination of --grid."
)
@click.option(
    "--constraint",
    "constraints",
    multiple=True,
    metavar="EXPRESSION",
    help="What all trials must fulfil, such as 'cooldown <= forward.horizon'; may be repeated.",
)
@click.option(
    "--sampler",
    metavar="NAME",
    help="What proposes trials: grid, random or optuna (TPE); default: grid, or random with --trials.",
)
@click.option(
    "--objective",
    "objectives",
    multiple=True,
    metavar="METRIC",
    help="What is searched for (default: sharpe_ratio); several with --sampler optuna; the first decides.",
)
@click.option("--seed", type=int, default=0, show_default=True)
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
    "--evaluator",
    default="auto",
    show_default=True,
    metavar="NAME",
    help="How trials run: replay (compiled), cerebro, or auto: replay where it covers the rules.",
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
    "--executor", default="serial", show_default=True, metavar="NAME", help="serial, process or ray."
)
@click.option("--workers", type=int, metavar="N", help="Worker processes; default: one for each core.")
@click.option("--ray-address", metavar="ADDRESS", help="A running Ray cluster; default: Ray on this machine.")
@DEVICE
@THREADS
@click.option(
    "--resume", is_flag=True, help="Go on with the study in RUN_DIR after a kill, or add trials to it."
)
@click.option("--out", required=True, metavar="RUN_DIR", help="Folder of the run.")
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
