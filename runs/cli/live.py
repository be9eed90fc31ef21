"""`scorenet live`: its options."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from scorenet.base.waits import Heard

from .errors import guarded
from .options import (
    BASE_URL,
    CONFIG,
    DATA_DIR,
    EXCHANGE,
    JSON,
    PLUGIN,
    SET,
    SIGNAL,
    FiniteRange,
    print_result,
    print_run,
    strategy_settings,
)

if TYPE_CHECKING:
    from ..live.command import Done

__all__ = ["live"]


@click.command()
@click.option("--model", "model_dir", required=True, metavar="MODEL_DIR")
@EXCHANGE
@click.option("--symbol", "symbols", multiple=True, required=True, metavar="SYMBOL", help="May be repeated.")
@click.option("--timeframe", metavar="SIZE", help="Bar size; must be the model's, which is the default.")
@click.option(
    "--since", metavar="DATE", help="Start of the warm-up (UTC); default: as many bars as the model needs."
)
@SIGNAL
@CONFIG
@SET
@PLUGIN
@click.option(
    "--cash", type=FiniteRange(), metavar="AMOUNT", help="Initial equity, the same as --set cash=AMOUNT."
)
@click.option("--max-bars", type=click.IntRange(min=0), metavar="N", help="Stop after N live bars.")
@click.option(
    "--max-loss",
    type=FiniteRange(0, 1, max_open=True),
    default=0.0,
    metavar="FRACTION",
    help="Halt permanently when this fraction of the initial equity is lost, on paper or in the real account; "
    "0: never.",
)
@click.option("--kill-flatten", is_flag=True, help="The kill switch also closes positions.")
@click.option(
    "--paper",
    is_flag=True,
    help="Trade on paper only (the default); needed to go on without real orders in a run folder that had some.",
)
@click.option(
    "--real-orders",
    is_flag=True,
    help="Follow the paper account with real orders, on the testnet unless --mainnet is given; the key is read from "
    "BYBIT_API_KEY and BYBIT_API_SECRET, or the same names for another --exchange.",
)
@click.option("--mainnet", is_flag=True, help="Send real orders to the mainnet, with real money.")
@click.option(
    "--order-host",
    metavar="HOST",
    help="The host of --base-url, if the exchange is not known to have it: real orders and the key go there.",
)
@click.option(
    "--max-order",
    type=FiniteRange(),
    default=500.0,
    show_default=True,
    metavar="USDT",
    help="Largest value of a real order that opens a position; orders that close are not limited.",
)
@click.option(
    "--max-position",
    type=FiniteRange(),
    default=1000.0,
    show_default=True,
    metavar="USDT",
    help="Largest value of a real position in one symbol.",
)
@click.option(
    "--adopt",
    is_flag=True,
    help="Accept real positions that the journal does not contain, and cancel open orders that this run did not send.",
)
@click.option(
    "--metrics-port",
    type=click.IntRange(1, 65_535),
    metavar="N",
    help="Serve metrics for Prometheus on http://127.0.0.1:N/metrics; needs scorenet[ops].",
)
@click.option(
    "--metrics-host",
    default="127.0.0.1",
    show_default=True,
    metavar="HOST",
    help="Address to serve metrics on; 0.0.0.0 in a container.",
)
@click.option(
    "--notify",
    multiple=True,
    metavar="URL",
    help="Post alerts as JSON to this webhook; may be repeated. It is better given as SCORENET_NOTIFY_URL in the "
    "environment, where other users of the machine do not see it.",
)
@click.option(
    "--notify-after",
    type=FiniteRange(min=0),
    default=5.0,
    show_default=True,
    metavar="MINUTES",
    help="Report a feed that has been DISCONNECTED, or real orders that have not worked, for so long.",
)
@click.option("--out", metavar="RUN_DIR", help="Folder of the run; default: out/live-SYMBOL-SIZE.")
@click.option(
    "--speed",
    type=FiniteRange(min=0, min_open=True),
    default=1.0,
    show_default=True,
    metavar="FACTOR",
    help="Speed of the exchange's clock; a factor other than 1 is for a loopback exchange only.",
)
@DATA_DIR
@BASE_URL
@JSON
@click.option("--quiet", is_flag=True, help="No progress bar and no status line; events only.")
@guarded
def live(
    model_dir: str,
    config: str | None,
    pairs: tuple[str, ...],
    signal: str | None,
    cash: float | None,
    as_json: bool,
    notify: tuple[str, ...],
    **options: Any,
) -> None:
    """Trade the exchange's live bars on paper; the same command continues an earlier run.

    Ctrl-C stops the run and writes the report. A file named KILL in RUN_DIR, or SIGUSR1, halts trading permanently.
    """
    asked = Heard("SIGUSR1")
    with asked.listening():  # before the imports, which take seconds: a halt must not end the process
        done = _run(model_dir, config, pairs, signal, cash, notify, asked, options)
    if done.metrics is None:
        print_result(
            {"bars": done.bars}, as_json, f"no live bar was traded yet; the journal is in {done.out}"
        )
    else:
        print_run(done.metrics, done.out, as_json)
    if done.signal is not None:
        click.echo("scorenet: stopped; the same command continues the run", err=True)
        sys.exit(128 + done.signal)


def _run(
    model_dir: str,
    config: str | None,
    pairs: tuple[str, ...],
    signal: str | None,
    cash: float | None,
    notify: tuple[str, ...],
    asked: Heard,
    options: dict[str, Any],
) -> Done:
    from ..live.command import LiveOptions, start
    from ..watch.webhook import hidden

    urls = (*notify, *os.environ.get("SCORENET_NOTIFY_URL", "").split())
    # The journal and the manifest keep the command; the URL of a webhook is a secret.
    command = hidden(["scorenet", *sys.argv[1:]], urls)
    if cash is not None:
        pairs = (*pairs, f"cash={cash}")
    account, params = strategy_settings(config, pairs, signal)
    return start(model_dir, account, params, LiveOptions(notify=urls, **options), command, asked)
