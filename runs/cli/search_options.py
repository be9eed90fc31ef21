"""The options that `optimize` and `walkforward` have in common: what is tried, how, and where."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from .options import DEVICE, THREADS

__all__ = ["search_options"]

_OPTIONS = (
    click.option(
        "--grid", multiple=True, metavar="KEY=V1,V2,...", help="Values of a setting; may be repeated."
    ),
    click.option(
        "--space",
        multiple=True,
        metavar="KEY=LOW..HIGH[,log][,int]",
        help="A range of a setting, for --trials; may be repeated.",
    ),
    click.option(
        "--trials",
        type=int,
        metavar="N",
        help="Number of trials (of each fold); without it, every combination of --grid.",
    ),
    click.option(
        "--constraint",
        "constraints",
        multiple=True,
        metavar="EXPRESSION",
        help="What all trials must fulfil, such as 'cooldown <= forward.horizon'; may be repeated.",
    ),
    click.option(
        "--sampler",
        metavar="NAME",
        help="What proposes trials: grid, random or optuna (TPE); default: grid, or random with --trials.",
    ),
    click.option("--seed", type=int, default=0, show_default=True, help="Seed of the sampler."),
    click.option(
        "--evaluator",
        default="auto",
        show_default=True,
        metavar="NAME",
        help="How trials run: replay (compiled), cerebro, or auto: replay where it covers the rules.",
    ),
    click.option(
        "--executor", default="serial", show_default=True, metavar="NAME", help="serial, process or ray."
    ),
    click.option("--workers", type=int, metavar="N", help="Worker processes; default: one for each core."),
    click.option(
        "--ray-address", metavar="ADDRESS", help="A running Ray cluster; default: Ray on this machine."
    ),
    DEVICE,
    THREADS,
    click.option("--out", required=True, metavar="RUN_DIR", help="Folder of the run."),
)


def search_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to a command, in the order of its help."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
