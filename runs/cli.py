"""The `scorenet` command: parse, call one function, print. Heavy imports wait until a command needs them."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from runs.errors import guarded

if TYPE_CHECKING:
    from runs.markets import LoadOptions

__all__ = ["main"]

_SET = click.option(
    "--set", "pairs", multiple=True, metavar="KEY=VALUE", help="Change one setting; may be repeated."
)
_CONFIG = click.option("--config", metavar="FILE.toml", help="Settings file; --set wins over it.")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
_DATA_DIR = click.option("--data-dir", default="data", show_default=True, help="Folder of the bar store.")
_OFFLINE = click.option("--offline", is_flag=True, help="Use stored bars only; never ask the exchange.")
_GAPS = click.option(
    "--gaps",
    type=click.Choice(["raise", "keep", "ffill"]),
    default="raise",
    show_default=True,
    help="What to do about missing bars; forward-filled ones are marked.",
)
_SINCE = click.option("--since", metavar="DATE", help="First bar, inclusive, UTC.")
_UNTIL = click.option("--until", metavar="DATE", help="Last bar, exclusive, UTC.")
_BARS = click.option(
    "--bars",
    "sources",
    multiple=True,
    required=True,
    metavar="SOURCE",
    help="A parquet/CSV file, bybit:BTC/USDT:USDT@1h, or simulated:NAME?seed=1&bars=20000; may be repeated.",
)
_MORE_BARS = click.argument("more_sources", nargs=-1, metavar="")
_SIGNAL = click.option("--signal", type=click.Choice(["forward", "state"]), help="Which score to trade by.")
_BASE_URL = click.option("--base-url", metavar="URL", help="Replace the exchange's REST host.")
_QUIET = click.option("--quiet", is_flag=True, help="No progress bars.")


def _over_bars(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of every command that reads bars; `--bars A B` and `--bars A --bars B` are the same."""

    @functools.wraps(command)
    def wrapper(
        *, sources: tuple[str, ...], more_sources: tuple[str, ...], quiet: bool, **options: Any
    ) -> None:
        from runs.markets import LoadOptions

        load = {name: options.pop(name) for name in _LOAD}
        command(
            sources=(*sources, *more_sources), load=LoadOptions(progress=_progress(quiet), **load), **options
        )

    guarded_wrapper = guarded(wrapper)
    for option in (_QUIET, _JSON, _BASE_URL, _OFFLINE, _DATA_DIR, _GAPS, _UNTIL, _SINCE, _SET, _CONFIG):
        guarded_wrapper = option(guarded_wrapper)
    return _BARS(_MORE_BARS(guarded_wrapper))


_LOAD = ("since", "until", "gaps", "data_dir", "offline", "base_url")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(package_name="scorenet")
def main(debug: bool) -> None:
    """Learn the density of market states and trade only where the market is familiar."""


@main.command()
@click.argument("symbols", nargs=-1, required=True)
@click.option("--exchange", default="bybit", show_default=True)
@click.option("--timeframe", default="1h", show_default=True)
@click.option("--since", required=True, metavar="DATE", help="First bar, inclusive, UTC.")
@_UNTIL
@click.option("--funding", is_flag=True, help="Funding rates too.")
@click.option("--open-interest", is_flag=True, help="Open interest too.")
@click.option("--mark", is_flag=True, help="Mark prices too, as bars of the same size.")
@click.option(
    "--requests-per-second",
    type=click.FloatRange(min=0, min_open=True),
    default=100.0,
    show_default=True,
    help="Pace of all downloads together; the exchange bans an address at 120.",
)
@_DATA_DIR
@_BASE_URL
@_JSON
@_QUIET
@guarded
def fetch(symbols: tuple[str, ...], as_json: bool, quiet: bool, **options: Any) -> None:
    """Download what is missing of each SYMBOL, all side by side.

    BTC/USDT:USDT is the linear perpetual, BTC/USD:BTC the inverse one, BTC/USDT is spot.
    """
    from runs.fetch import fetch_symbols, format_reports

    reports = fetch_symbols(symbols, progress=_progress(quiet), **options)
    _print({"series": reports}, as_json, format_reports(reports))


@main.group()
def data() -> None:
    """Look after stored bars."""


@data.command("list")
@_DATA_DIR
@_JSON
@guarded
def data_list(data_dir: str, as_json: bool) -> None:
    """List the stored series, what they lack, and the rules of their instruments."""
    from runs.data_commands import list_rules, list_store
    from runs.tables import format_rows

    rows, rules = list_store(data_dir), list_rules(data_dir)
    # Steps of a price are shorter than the four decimals of a figure.
    spelled = [{key: f"{x:g}" if isinstance(x, float) else x for key, x in row.items()} for row in rules]
    tables = [format_rows(table) for table in (rows, spelled) if table]
    text = "\n\n".join(tables) or f"no series in {data_dir}; get some with `scorenet fetch`"
    _print({"series": rows, "instruments": rules}, as_json, text)


@data.command("check")
@click.argument("source", required=False)
@_DATA_DIR
@_OFFLINE
@_JSON
@guarded
def data_check(source: str | None, data_dir: str, offline: bool, as_json: bool) -> None:
    """Validate SOURCE and report its holes; without SOURCE read every file of the store."""
    from runs.data_commands import check_source, check_store
    from runs.tables import format_mapping, format_rows

    if source is not None:
        found = check_source(source, data_dir=data_dir, offline=offline)
        _print(found, as_json, format_mapping(found))
        return
    damages = check_store(data_dir)
    _print(
        {"damaged": damages},
        as_json,
        format_rows(damages) if damages else f"every file in {data_dir} is whole",
    )
    if damages:
        sys.exit(1)


@data.command("import")
@click.argument("file")
@click.option("--symbol", required=True)
@click.option("--timeframe", required=True)
@_GAPS
@_DATA_DIR
@_JSON
@guarded
def data_import(file: str, symbol: str, timeframe: str, gaps: str, data_dir: str, as_json: bool) -> None:
    """Put a parquet or CSV FILE into the store."""
    from runs.data_commands import import_bars
    from runs.tables import format_mapping

    done = import_bars(file, symbol=symbol, timeframe=timeframe, data_dir=data_dir, gaps=gaps)
    _print(done, as_json, format_mapping(done))


@data.command("export")
@click.argument("source")
@click.argument("file")
@_DATA_DIR
@_OFFLINE
@_JSON
@guarded
def data_export(source: str, file: str, data_dir: str, offline: bool, as_json: bool) -> None:
    """Write the bars of SOURCE to a parquet or CSV FILE."""
    from runs.data_commands import export_bars
    from runs.tables import format_mapping

    done = export_bars(source, file, data_dir=data_dir, offline=offline)
    _print(done, as_json, format_mapping(done))


@main.command()
@_over_bars
@click.option("--features", metavar="SET", help="chapter or extended (default).")
@click.option("--out", required=True, metavar="MODEL_DIR", help="Folder of the model.")
def train(
    sources: tuple[str, ...],
    load: LoadOptions,
    config: str | None,
    pairs: tuple[str, ...],
    features: str | None,
    out: str,
    as_json: bool,
) -> None:
    """Learn the densities of market states and forward returns from bars."""
    from runs.settings import model_config
    from runs.tables import format_mapping
    from runs.train import train as run_train

    result = run_train(sources, out, model_config(config, pairs, features), load)
    _print(result, as_json, format_mapping(result))


@main.command()
@click.option("--model", "model_dir", required=True, metavar="MODEL_DIR")
@_over_bars
@_SIGNAL
@click.option("--out", required=True, metavar="RUN_DIR", help="Folder of the run.")
def backtest(
    model_dir: str,
    sources: tuple[str, ...],
    load: LoadOptions,
    config: str | None,
    pairs: tuple[str, ...],
    signal: str | None,
    out: str,
    as_json: bool,
) -> None:
    """Trade stored bars with a model; print the metrics beside buy-and-hold and write the report."""
    from runs.backtest import backtest as run_backtest

    account, params = _strategy_settings(config, pairs, signal)
    command = ["scorenet", *sys.argv[1:]]
    metrics = run_backtest(model_dir, sources, out, account, params, load, command=command)
    _print_run(metrics, out, as_json)


@main.command()
@click.option("--model", "model_dir", required=True, metavar="MODEL_DIR")
@click.option("--symbol", "symbols", multiple=True, required=True, metavar="SYMBOL", help="May be repeated.")
@click.option("--timeframe", metavar="SIZE", help="Bar size; must be the model's, which is the default.")
@click.option("--since", metavar="DATE", help="Warm up from here; default: as many bars as the model needs.")
@_SIGNAL
@_CONFIG
@_SET
@click.option("--cash", type=float, metavar="AMOUNT", help="Start equity, the same as --set cash=AMOUNT.")
@click.option("--max-bars", type=click.IntRange(min=0), metavar="N", help="Stop after N live bars.")
@click.option(
    "--max-loss",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.0,
    metavar="FRACTION",
    help="Halt for good when this fraction of the start equity is lost; 0: never.",
)
@click.option("--kill-flatten", is_flag=True, help="The kill switch closes positions as well.")
@click.option("--paper", is_flag=True, help="Trade on paper only, which is the default.")
@click.option(
    "--real-orders",
    is_flag=True,
    help="Follow the paper account with real orders, on the testnet; keys: BYBIT_API_KEY, BYBIT_API_SECRET.",
)
@click.option("--mainnet", is_flag=True, help="Send the real orders to the mainnet: real money.")
@click.option("--max-order", type=float, default=500.0, show_default=True, help="Value of a real order.")
@click.option(
    "--max-position", type=float, default=1000.0, show_default=True, help="Value of a real position."
)
@click.option("--adopt", is_flag=True, help="Take over positions that the journal does not know.")
@click.option("--out", metavar="RUN_DIR", help="Folder of the run; default: out/live-SYMBOL-SIZE.")
@click.option(
    "--speed",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    show_default=True,
    help="Of the exchange's clock; other than 1 for a loopback exchange only.",
)
@_DATA_DIR
@_BASE_URL
@_JSON
@_QUIET
@guarded
def live(
    model_dir: str,
    config: str | None,
    pairs: tuple[str, ...],
    signal: str | None,
    cash: float | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Trade on paper what the exchange brings, bar by bar; run again to go on where it was.

    Ctrl-C stops it and writes the report. A file named KILL in RUN_DIR, or SIGUSR1, halts trading for good.
    """
    from runs.live_command import start

    if cash is not None:
        pairs = (*pairs, f"cash={cash}")
    account, params = _strategy_settings(config, pairs, signal)
    done = start(model_dir, account, params, command=["scorenet", *sys.argv[1:]], **options)
    if done.metrics is None:
        _print({"bars": done.bars}, as_json, f"no live bar was traded yet; the journal is in {done.out}")
    else:
        _print_run(done.metrics, done.out, as_json)
    if done.signal is not None:
        click.echo("scorenet: stopped; the same command goes on from here", err=True)
        sys.exit(128 + done.signal)


@main.command()
@click.argument("run_dir")
@_DATA_DIR
@_JSON
@guarded
def report(run_dir: str, data_dir: str, as_json: bool) -> None:
    """Write report.html again from the files of RUN_DIR."""
    from runs.report import write_report
    from runs.rundir import RunDir

    path = write_report(RunDir.open(run_dir))
    _print({"report": str(path)}, as_json, f"report  {path}")


@main.command()
@click.option("--model", "model_dir", required=True, metavar="MODEL_DIR")
@_over_bars
@_SIGNAL
@click.option("--cuts", type=click.IntRange(min=1), default=20, show_default=True, help="Random cuts to try.")
@click.option("--seed", type=int, default=0, show_default=True)
def lookahead(
    model_dir: str,
    sources: tuple[str, ...],
    load: LoadOptions,
    config: str | None,
    pairs: tuple[str, ...],
    signal: str | None,
    cuts: int,
    seed: int,
    as_json: bool,
) -> None:
    """Prove that no score, decision or order depends on later bars; exit 1 if one does."""
    from runs.lookahead import prove

    account, params = _strategy_settings(config, pairs, signal)
    found = prove(model_dir, sources, account, params, load, cuts=cuts, seed=seed)
    verdict = (
        "no look-ahead"
        if found["clean"]
        else f"LOOK-AHEAD in {len(found['differences'])} of {found['cuts']} cuts"
    )
    text = f"{verdict}: {found['values']:,} values compared at {found['cuts']} cuts of {found['bars']:,} bars"
    _print(found, as_json, "\n".join([text, *map(str, found["differences"][:5])]))
    if not found["clean"]:
        sys.exit(1)


@main.command()
@click.option("--out", default="out/demo", show_default=True, metavar="RUN_DIR")
@click.option("--model", "model_dir", default="models/demo", show_default=True, metavar="MODEL_DIR")
@_DATA_DIR
@_JSON
@_QUIET
@guarded
def demo(out: str, model_dir: str, data_dir: str, as_json: bool, quiet: bool) -> None:
    """Run the whole job offline on a simulated market: train, backtest, report."""
    from runs.demo import demo as run_demo

    _print_run(run_demo(out, model_dir, progress=_progress(quiet)), out, as_json)


@main.command("check-model")
@click.argument("model_dir")
@click.argument("more_sources", nargs=-1, metavar="")
@click.option(
    "--bars", "sources", multiple=True, metavar="SOURCE", help="Measure on these bars; may be repeated."
)
@click.option(
    "--out", metavar="FOLDER", help="Where check.json and check.html go (default: MODEL_DIR/check)."
)
@_SINCE
@_UNTIL
@_GAPS
@_DATA_DIR
@_OFFLINE
@_BASE_URL
@_JSON
@_QUIET
@guarded
def check_model(
    model_dir: str,
    more_sources: tuple[str, ...],
    sources: tuple[str, ...],
    out: str | None,
    as_json: bool,
    quiet: bool,
    **load: Any,
) -> None:
    """Measure a model: score, density, calibration, forward returns; print it and write a page of plots."""
    from runs.check_model import check_model as run_check
    from runs.check_text import format_check
    from runs.markets import LoadOptions

    if more_sources and not sources:
        raise click.UsageError(f"bars are named with --bars, found {more_sources[0]!r}")
    found = run_check(
        model_dir, (*sources, *more_sources), out, LoadOptions(progress=_progress(quiet), **load)
    )
    _print(found, as_json, format_check(found))


def _strategy_settings(
    config: str | None, pairs: tuple[str, ...], signal: str | None
) -> tuple[Any, dict[str, Any]]:
    from runs.backtest import check_params, strategy_defaults
    from runs.settings import run_settings

    account, params = run_settings(config, pairs, strategy_defaults())
    if signal is not None:
        params["signal"] = signal
    check_params(params)
    return account, params


def _progress(quiet: bool) -> bool:
    return not quiet and sys.stderr.isatty()


def _print(value: dict[str, Any], as_json: bool, text: str) -> None:
    from runs.jsonfile import plain

    click.echo(json.dumps(plain(value), allow_nan=False) if as_json else text)


def _print_run(metrics: dict[str, Any], out: str, as_json: bool) -> None:
    from pathlib import Path

    from runs.statistics import format_table

    path = Path(out) / "report.html"
    text = "" if as_json else f"{format_table(metrics)}\n\nreport  {path}"
    _print({**metrics, "report": str(path)}, as_json, text)
