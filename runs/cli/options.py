"""Options that several commands share, and the output of their results."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable
from typing import Any

import click

from scorenet.base.printable import printable

from .errors import guarded
from .settings_list import complete_setting

__all__ = [
    "BARS",
    "BASE_URL",
    "CALENDAR",
    "CHECK_DEVICE",
    "CONFIG",
    "DATA_DIR",
    "DEVICE",
    "EXCHANGE",
    "GAPS",
    "JSON",
    "MODEL",
    "OFFLINE",
    "PLUGIN",
    "QUIET",
    "SET",
    "SIGNAL",
    "SINCE",
    "THREADS",
    "UNTIL",
    "FiniteRange",
    "over_bars",
    "print_result",
    "print_run",
    "strategy_settings",
    "wants_progress",
]


class FiniteRange(click.FloatRange):
    """A number in a range. "nan" is in no range, but compares as if it were; "inf" is no amount."""

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> float:
        """Return the number; click shows the error for any other text."""
        number = float(super().convert(value, param, context))
        if not math.isfinite(number):
            self.fail(f"{value} is no finite number.", param, context)
        return number


SET = click.option(
    "--set",
    "pairs",
    multiple=True,
    metavar="KEY=VALUE",
    shell_complete=complete_setting,
    help="Change one setting; may be repeated.",
)
CONFIG = click.option("--config", metavar="FILE.toml", help="Settings file; --set overrides it.")
JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
DATA_DIR = click.option("--data-dir", default="data", show_default=True, help="Folder of the bar store.")
OFFLINE = click.option(
    "--offline", is_flag=True, help="Use stored bars only; send no request to the exchange."
)
GAPS = click.option(
    "--gaps",
    type=click.Choice(["raise", "keep", "ffill"]),
    default="raise",
    show_default=True,
    help="Treatment of missing bars; forward-filled bars are marked.",
)
CALENDAR = click.option(
    "--calendar",
    metavar="NAME",
    help="Trading calendar of a market that closes, such as XNYS, for bar files; other sources know theirs.",
)
SINCE = click.option("--since", metavar="DATE", help="First bar, inclusive, UTC.")
UNTIL = click.option("--until", metavar="DATE", help="Last bar, exclusive, UTC.")
BARS = click.option(
    "--bars",
    "sources",
    multiple=True,
    metavar="SOURCE",
    help="A bar file, bybit:BTC/USDT:USDT@1h, XNYS:SPY@1d, or simulated:NAME?seed=1&bars=20000; may be repeated.",
)
MORE_BARS = click.argument("more_sources", nargs=-1, metavar="")
SIGNAL = click.option(
    "--signal", metavar="NAME", help="Signal to trade by: forward (default), state, or a registered name."
)
EXCHANGE = click.option(
    "--exchange",
    default="bybit",
    show_default=True,
    metavar="NAME",
    help="The exchange that the bars come from.",
)
BASE_URL = click.option("--base-url", metavar="URL", help="Replace the exchange's REST host.")


def _device(what: str) -> Callable[..., Any]:
    return click.option(
        "--device",
        default="auto",
        show_default=True,
        metavar="auto|cpu|cuda",
        help=f"Where {what}; auto is the GPU if there is one.",
    )


DEVICE = _device("the nets are trained")
CHECK_DEVICE = _device("score and density are computed")
THREADS = click.option(
    "--threads",
    type=click.IntRange(min=1),
    metavar="N",
    help="Cores that one training may use; the model is the same. Default: 2, and 1 on a GPU or in a worker process.",
)
WARM_START = click.option(
    "--warm-start",
    metavar="MODEL_DIR",
    help="An earlier model of the same settings; training begins with its weights, in a part of the steps.",
)
QUIET = click.option("--quiet", is_flag=True, help="No progress.")


def _load_plugins(context: click.Context, option: click.Parameter, files: tuple[str, ...]) -> None:
    if not files or context.resilient_parsing:
        return
    guarded(_load_each)(files)


def _load_each(files: tuple[str, ...]) -> None:
    from ..plugins import load_plugin

    for file in files:
        load_plugin(file)


PLUGIN = click.option(
    "--plugin",
    multiple=True,
    metavar="FILE.py",
    expose_value=False,
    is_eager=True,
    callback=_load_plugins,
    help="Run this file first; it may register features, objectives, networks, samplers, signals, slippage, "
    "position rules or panels; may be repeated.",
)


def over_bars(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of commands that read bars; `--bars A B` and `--bars A --bars B` are the same."""

    @functools.wraps(command)
    def wrapper(
        *, sources: tuple[str, ...], more_sources: tuple[str, ...], quiet: bool, **options: Any
    ) -> None:
        from ..markets import LoadOptions

        load = {name: options.pop(name) for name in _LOAD}
        given = (*sources, *more_sources)
        if "model_dir" in options:
            given, load, options["model_dir"] = _from_config(given, load, options)
        if not given:
            raise click.UsageError("Missing option '--bars'.")
        command(sources=given, load=LoadOptions(progress=wants_progress(quiet), **load), **options)

    guarded_wrapper = guarded(wrapper)
    for option in (
        QUIET,
        JSON,
        BASE_URL,
        OFFLINE,
        DATA_DIR,
        CALENDAR,
        GAPS,
        UNTIL,
        SINCE,
        PLUGIN,
        SET,
        CONFIG,
    ):
        guarded_wrapper = option(guarded_wrapper)
    return BARS(MORE_BARS(guarded_wrapper))


def _from_config(
    sources: tuple[str, ...], load: dict[str, Any], options: dict[str, Any]
) -> tuple[tuple[str, ...], dict[str, Any], str]:
    """Return sources, load options and model; what is not on the command line is taken from a run's config.toml."""
    from ..repeat.stated import stated

    said = stated(options["config"])
    source_of = click.get_current_context().get_parameter_source
    for name in ("since", "until", "gaps", "data_dir", "calendar"):
        if name in said and source_of(name) is not click.core.ParameterSource.COMMANDLINE:
            load[name] = said[name]
    model = options["model_dir"] or said.get("model")
    if not model:
        raise click.UsageError("Missing option '--model'.")
    return sources or tuple(said.get("bars", ())), load, model


MODEL = click.option("--model", "model_dir", metavar="MODEL_DIR", help="The model; --config may name it.")
_LOAD = ("since", "until", "gaps", "data_dir", "offline", "base_url", "calendar")


def strategy_settings(
    config: str | None, pairs: tuple[str, ...], signal: str | None
) -> tuple[Any, dict[str, Any]]:
    """Return the account and the validated parameters of the strategy."""
    from ..backtest import check_params, strategy_defaults
    from ..settings import run_settings

    account, params = run_settings(config, pairs, strategy_defaults())
    if signal is not None:
        params["signal"] = signal
    check_params(params)
    return account, params


def wants_progress(quiet: bool) -> bool:
    """Return whether to show progress: a bar in a terminal, a line from time to time elsewhere."""
    return not quiet


def print_result(value: dict[str, Any], as_json: bool, text: str) -> None:
    """Print one JSON object, or a text."""
    from ..folder.jsonfile import plain

    click.echo(json.dumps(plain(value), allow_nan=False) if as_json else printable(text))


def print_run(metrics: dict[str, Any], out: str, as_json: bool) -> None:
    """Print the metrics of a run and where its report is."""
    from pathlib import Path

    from ..folder.rundir import RunDir
    from ..metric_rows import FEWEST_DAYS, is_annualised
    from ..statistics import format_table

    path = Path(out) / "report.html"
    short = "" if is_annualised(metrics) else f"\n\nless than {FEWEST_DAYS} days: no figure a year is shown"
    text = "" if as_json else f"{format_table(metrics)}{short}\n\nreport  {path}"
    warnings = RunDir.open(out).read_manifest()["warnings"] if as_json else []
    print_result({**metrics, "report": str(path), "warnings": warnings}, as_json, text)
