"""Build the parts of `scorenet live` from its options."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import click

from feeds.bars.timeframes import from_ms
from feeds.exchange.access import Access, Credentials
from feeds.exchange.ccxt_clients import ALL_REQUESTS
from feeds.exchange.order_types import Orders
from feeds.exchange.protocol import require
from feeds.exchange.registry import find_exchange
from feeds.instruments import Instrument
from scorenet import ConfigError, ScoreModel
from scorenet.base.waits import Heard

from ..backtest import check_signal
from ..settings import Account
from ..watch.observer import Observer
from ..watch.webhook import target_of
from .halt import KillSwitch, keeping_halt
from .journal import JOURNAL, Journal
from .market import ExchangeMarket
from .mirror import Caps, Mirror, MirrorOptions
from .place import Place, place_of
from .session import LiveRequest, RealOrders, live
from .status import LiveStatus

__all__ = ["Done", "LiveOptions", "start"]


@dataclass(frozen=True)
class Done:
    """The end of a live run: metrics, number of bars, signal that stopped it, folder."""

    metrics: dict[str, Any] | None
    bars: int
    signal: int | None
    out: str


@dataclass(frozen=True, kw_only=True)
class LiveOptions:
    """The options of `scorenet live`, named as on the command line. None selects the default."""

    exchange: str
    symbols: Sequence[str]
    timeframe: str | None
    since: str | None
    max_bars: int | None
    max_loss: float
    kill_flatten: bool
    paper: bool
    out: str | None
    speed: float
    data_dir: str
    base_url: str | None
    quiet: bool
    real_orders: bool
    mainnet: bool
    max_order: float
    max_position: float
    adopt: bool
    order_host: str | None = None
    metrics_port: int | None = None
    metrics_host: str = "127.0.0.1"
    notify: Sequence[str] = ()
    notify_after: float = 5.0

    def __post_init__(self) -> None:
        if self.paper and self.real_orders:
            raise ConfigError("--paper and --real-orders: expected one of them")
        if self.mainnet and not self.real_orders:
            raise ConfigError("--mainnet says where real orders go; it needs --real-orders")
        if self.order_host is not None and not self.real_orders:
            raise ConfigError("--order-host says where real orders go; it needs --real-orders")


def start(
    model_dir: str,
    account: Account,
    params: Mapping[str, Any],
    options: LiveOptions,
    command: Sequence[str],
    asked: Heard | None = None,
) -> Done:
    """Run `scorenet live` until it is stopped. `asked`: SIGUSR1, if the caller listens to it already.

    Raises:
        ConfigError: the market takes no real orders, or the credentials are missing.
        FeedError, ScorenetError, RunDirError: as `runs.live.session.live`.
    """
    status = LiveStatus(sys.stderr, refreshing=sys.stderr.isatty(), quiet=options.quiet)
    asked = asked or Heard("SIGUSR1")
    with (
        asked.listening(),
        _observer(options, status) as observer,
        keeping_halt(asked, options.out, status.say),
    ):
        return _start(model_dir, account, params, options, command, status, observer, asked)


def _observer(options: LiveOptions, status: LiveStatus) -> Observer:
    return Observer(
        status.say,
        targets=[target_of(url) for url in options.notify],
        patience=options.notify_after * 60.0,
        metrics=None if options.metrics_port is None else (options.metrics_host, options.metrics_port),
        requests=ALL_REQUESTS.copy,
        folder=options.out or f"live {' '.join(options.symbols)}",
    )


def _start(
    model_dir: str,
    account: Account,
    params: Mapping[str, Any],
    options: LiveOptions,
    command: Sequence[str],
    status: LiveStatus,
    observer: Observer,
    asked: Heard,
) -> Done:
    exchange = find_exchange(options.exchange)
    require(exchange, "stream")
    access, place = None, Place("", "")
    if options.real_orders:
        access, place = _access(options)
    model = ScoreModel.load(model_dir)
    check_signal(model, params["signal"])
    market = ExchangeMarket(
        exchange=options.exchange,
        data_dir=options.data_dir,
        base_url=options.base_url,
        funding=account.funding or "funding_rate" in model.features.inputs,
        open_interest="open_interest" in model.features.inputs,
        speed=options.speed,
        progress=not options.quiet and sys.stderr.isatty(),
    )
    if options.out is not None and (Path(options.out) / JOURNAL).exists():
        # A run that has begun may hold a position: an exchange in maintenance must not leave it without its strategy.
        market.wait_for_answer(lambda: asked.yes, status.say)
    out = options.out or _default_out([market.resolve(symbol) for symbol in options.symbols], model)
    request = LiveRequest(
        symbols=tuple(options.symbols),
        out=out,
        timeframe=options.timeframe,
        since=options.since,
        max_bars=options.max_bars,
        max_loss=options.max_loss,
        kill_flatten=options.kill_flatten,
        command=command,
        paper=options.paper,
        place=place.text,
        observer=observer,
        asked=asked,
    )
    with ExitStack() as stack:
        stack.enter_context(keeping_halt(asked, out, status.say))
        real_orders = None
        if access is not None:
            instruments = _linear(market, options.symbols)
            limits = _limits(options, place)
            client = stack.enter_context(exchange.orders(access))
            real_orders = _real_orders(client, instruments, limits)
        ended = live(
            model_dir, request, account, params, market, status, real_orders=real_orders, model=model
        )
    return Done(ended.metrics, ended.bars, ended.signal, out)


def _access(options: LiveOptions) -> tuple[Access, Place]:
    exchange = find_exchange(options.exchange)
    require(exchange, "orders")
    place = place_of(exchange, options.base_url, options.mainnet, options.order_host)
    access = Access(
        base_url=options.base_url,
        credentials=_credentials(options.exchange),
        sandbox=options.base_url is None and not options.mainnet,
    )
    return access, place


def _linear(market: ExchangeMarket, symbols: Sequence[str]) -> dict[str, Instrument]:
    instruments = {found.symbol: found for found in map(market.instrument, symbols)}
    for found in instruments.values():
        if found.category != "linear":
            raise ConfigError(
                f"--real-orders trades linear perpetuals, found {found.symbol} ({found.category})"
            )
        if not found.lot_step:
            raise ConfigError(
                f"--real-orders needs the lot step of {found.symbol}, the exchange states none; every order would be "
                "refused, also one that closes a position"
            )
    return instruments


def _limits(options: LiveOptions, place: Place) -> MirrorOptions:
    """Return the limits of real orders, and print them on stderr."""
    caps = Caps(order=Decimal(repr(options.max_order)), position=Decimal(repr(options.max_position)))
    click.echo(
        f"scorenet: real orders go to {place.text}; at most {options.max_order:,.10g} USDT an order, "
        f"{options.max_position:,.10g} USDT a position",
        err=True,
    )
    return MirrorOptions(
        caps=caps,
        adopt=options.adopt,
        max_loss=options.max_loss,
        place=place.text,
        venue=place.venue,
    )


def _real_orders(
    client: Orders, instruments: Mapping[str, Instrument], limits: MirrorOptions
) -> Callable[[Journal, KillSwitch, LiveStatus], RealOrders]:
    def real_orders(journal: Journal, kill: KillSwitch, status: LiveStatus) -> RealOrders:
        return Mirror(client, instruments, limits, journal, kill, status)

    return real_orders


def _credentials(exchange: str) -> Credentials:
    names = (f"{exchange.upper()}_API_KEY", f"{exchange.upper()}_API_SECRET")
    missing = [name for name in names if not os.environ.get(name)]
    if missing:
        raise ConfigError(
            f"--real-orders needs {' and '.join(missing)} in the environment; create an API key that may "
            "trade but not withdraw"
        )
    key, secret = (os.environ[name].strip() for name in names)
    return Credentials(key, secret)


def _default_out(symbols: Sequence[str], model: ScoreModel) -> str:
    names = "-".join(re.sub(r"[^A-Za-z0-9]+", "", symbol.partition(":")[0]) for symbol in symbols)
    return f"out/live-{names}-{from_ms(int(model.info['bar_ms']))}"
