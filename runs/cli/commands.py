"""The `scorenet` command: parse options, call a function, print its result. Commands do the heavy imports."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from .completion import completion
from .data import data
from .errors import HintingGroup, guarded, show_warnings_safely
from .live import live
from .optimize import optimize
from .options import (
    BASE_URL,
    CHECK_DEVICE,
    DATA_DIR,
    DEVICE,
    EXCHANGE,
    GAPS,
    JSON,
    MODEL,
    OFFLINE,
    PLUGIN,
    QUIET,
    SIGNAL,
    SINCE,
    THREADS,
    UNTIL,
    WARM_START,
    FiniteRange,
    over_bars,
    print_result,
    print_run,
    strategy_settings,
    wants_progress,
)
from .settings_list import list_settings
from .status import status
from .walkforward import walkforward

if TYPE_CHECKING:
    from ..markets import LoadOptions

__all__ = ["main"]


@click.group(cls=HintingGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(package_name="scorenet")
def main(debug: bool) -> None:
    """Learn the density of market states and trade only where the market is familiar."""
    show_warnings_safely()


main.add_command(completion)
main.add_command(data)
main.add_command(live)
main.add_command(optimize)
main.add_command(walkforward)
main.add_command(status)


@main.command()
@click.argument("symbols", nargs=-1, required=True)
@EXCHANGE
@click.option("--timeframe", default="1h", show_default=True)
@click.option("--since", required=True, metavar="DATE", help="First bar, inclusive, UTC.")
@UNTIL
@click.option("--funding", is_flag=True, help="Also download funding rates.")
@click.option("--open-interest", is_flag=True, help="Also download open interest.")
@click.option("--mark", is_flag=True, help="Also download mark prices, as bars of the same size.")
@click.option(
    "--requests-per-second",
    type=FiniteRange(min=0, min_open=True),
    help="Rate limit of all downloads together; default: well below the exchange's own limit.",
)
@DATA_DIR
@BASE_URL
@JSON
@QUIET
@guarded
def fetch(symbols: tuple[str, ...], as_json: bool, quiet: bool, **options: Any) -> None:
    """Download the missing bars of each SYMBOL, all symbols at once.

    BTC/USDT:USDT is the linear perpetual, BTC/USD:BTC the inverse one, BTC/USDT is spot.
    """
    from ..fetch import fetch_symbols, format_reports

    reports = fetch_symbols(symbols, progress=wants_progress(quiet), **options)
    print_result({"series": reports}, as_json, format_reports(reports))


@main.command()
@over_bars
@click.option(
    "--features", metavar="SET", help="Feature set: chapter, extended (default), or a registered name."
)
@list_settings("train")
@click.option("--out", required=True, metavar="MODEL_DIR", help="Folder of the model.")
@DEVICE
@THREADS
@WARM_START
def train(
    sources: tuple[str, ...],
    load: LoadOptions,
    config: str | None,
    pairs: tuple[str, ...],
    features: str | None,
    out: str,
    as_json: bool,
    device: str,
    threads: int | None,
    warm_start: str | None,
) -> None:
    """Learn the densities of market states and of forward returns from bars."""
    from ..settings import model_config
    from ..tables import format_mapping
    from ..train import train as run_train

    settings = model_config(config, pairs, features)
    result = run_train(sources, out, settings, load, device=device, threads=threads, warm_start=warm_start)
    print_result(result, as_json, format_mapping(result))


@main.command()
@MODEL
@over_bars
@SIGNAL
@list_settings("backtest")
@click.option("--out", metavar="RUN_DIR", help="Folder of the run (default: out/backtest-DATE-TIME).")
@click.option("--force", is_flag=True, help="Replace an earlier run in RUN_DIR; otherwise it is moved aside.")
def backtest(
    model_dir: str,
    sources: tuple[str, ...],
    load: LoadOptions,
    config: str | None,
    pairs: tuple[str, ...],
    signal: str | None,
    out: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Trade stored bars with a model; print the metrics next to buy-and-hold and write the report.

    --config also takes the config.toml of an earlier run: its model, bars and range hold where the command line has
    none.
    """
    from ..backtest import backtest as run_backtest
    from ..folder.rundir import dated

    account, params = strategy_settings(config, pairs, signal)
    folder = out or dated("backtest")
    command = ["scorenet", *sys.argv[1:]]
    metrics = run_backtest(
        model_dir, sources, folder, account, params, load, command=command, keep_earlier=not force
    )
    print_run(metrics, folder, as_json)


@main.command()
@click.argument("run_dir")
@click.option("--model", metavar="MODEL_DIR", help="Where the model is now, if it has moved.")
@click.option("--data-dir", metavar="FOLDER", help="Where the bar store is now, if it has moved.")
@PLUGIN
@JSON
@guarded
def rerun(run_dir: str, as_json: bool, **moved: str | None) -> None:
    """Run the backtest of RUN_DIR again and compare every table and figure; exit with 1 if one differs."""
    from ..repeat.rerun import rerun as run_again
    from ..tables import format_rerun

    found = run_again(run_dir, **moved)
    print_result(found, as_json, format_rerun(found))
    if not found["equal"]:
        sys.exit(1)


@main.command()
@click.argument("run_dir")
@PLUGIN
@DATA_DIR
@JSON
@guarded
def report(run_dir: str, data_dir: str, as_json: bool) -> None:
    """Write report.html again from the files of RUN_DIR."""
    from ..folder.rundir import RunDir
    from ..report.build import write_report

    path = write_report(RunDir.open(run_dir))
    print_result({"report": str(path)}, as_json, f"report  {path}")


@main.command()
@MODEL
@over_bars
@SIGNAL
@click.option(
    "--cuts", type=click.IntRange(min=1), default=20, show_default=True, help="Number of random cuts."
)
@click.option("--seed", type=int, default=0, show_default=True)
def lookahead(
    model_dir: str,
    sources: tuple[str, ...],
    load: LoadOptions,
    config: str | None,
    pairs: tuple[str, ...],
    signal: str | None,
    as_json: bool,
    **random_cuts: int,
) -> None:
    """Check that no score, decision or order depends on later bars; exit with 1 if one does."""
    from ..lookahead import prove

    account, params = strategy_settings(config, pairs, signal)
    found = prove(model_dir, sources, account, params, load, **random_cuts)
    verdict = (
        "no look-ahead"
        if found["clean"]
        else f"LOOK-AHEAD in {len(found['differences'])} of {found['cuts']} cuts"
    )
    text = f"{verdict}: {found['values']:,} values compared at {found['cuts']} cuts of {found['bars']:,} bars"
    print_result(found, as_json, "\n".join([text, *map(str, found["differences"][:5])]))
    if not found["clean"]:
        sys.exit(1)


@main.command()
@click.option("--out", default="out/demo", show_default=True, metavar="RUN_DIR")
@click.option("--model", "model_dir", default="models/demo", show_default=True, metavar="MODEL_DIR")
@PLUGIN
@DATA_DIR
@JSON
@QUIET
@guarded
def demo(out: str, model_dir: str, data_dir: str, as_json: bool, quiet: bool) -> None:
    """Run training, backtest and report offline on a simulated market."""
    from ..demo import demo as run_demo

    print_run(run_demo(out, model_dir, progress=wants_progress(quiet)), out, as_json)


@main.command("check-model")
@click.argument("model_dir")
@click.argument("more_sources", nargs=-1, metavar="")
@click.option(
    "--bars", "sources", multiple=True, metavar="SOURCE", help="Measure on these bars; may be repeated."
)
@click.option(
    "--out", metavar="FOLDER", help="Where check.json and check.html go (default: MODEL_DIR/check)."
)
@click.option("--thorough", is_flag=True, help="Measure more rows and every density method: several minutes.")
@CHECK_DEVICE
@PLUGIN
@SINCE
@UNTIL
@GAPS
@DATA_DIR
@OFFLINE
@BASE_URL
@JSON
@QUIET
@guarded
def check_model(
    model_dir: str,
    more_sources: tuple[str, ...],
    sources: tuple[str, ...],
    out: str | None,
    thorough: bool,
    device: str,
    as_json: bool,
    quiet: bool,
    **load: Any,
) -> None:
    """Measure the score, density, calibration and forward returns of a model; print them and write a page of plots.

    Takes about a minute; --thorough measures the rest.
    """
    from ..check.model import check_model as run_check
    from ..check.text import format_check
    from ..markets import LoadOptions

    if more_sources and not sources:
        raise click.UsageError(f"expected bars as --bars SOURCE, found {more_sources[0]!r}")
    options = LoadOptions(progress=wants_progress(quiet), **load)
    found = run_check(model_dir, (*sources, *more_sources), out, options, thorough=thorough, device=device)
    print_result(found, as_json, format_check(found))
