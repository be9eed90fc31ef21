"""What `scorenet live` puts together from its options."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import click

from feeds.bars.timeframes import from_ms
from feeds.exchange.access import Access, Credentials
from feeds.exchange.protocol import require
from feeds.exchange.registry import find_exchange
from scorenet import ConfigError, ScoreModel

from ..backtest import check_signal
from ..settings import Account
from .halt import KillSwitch
from .journal import Journal
from .market import ExchangeMarket
from .mirror import Caps, Mirror
from .session import LiveRequest, Shadow, live
from .status import LiveStatus

__all__ = ["Done", "start"]


@dataclass(frozen=True)
class Done:
    """How a live run ended, and where it is."""

    metrics: dict[str, Any] | None
    bars: int
    signal: int | None
    out: str


def start(
    model_dir: str,
    account: Account,
    params: Mapping[str, Any],
    *,
    exchange: str,
    symbols: Sequence[str],
    timeframe: str | None,
    since: str | None,
    max_bars: int | None,
    max_loss: float,
    kill_flatten: bool,
    paper: bool,
    out: str | None,
    speed: float,
    data_dir: str,
    base_url: str | None,
    quiet: bool,
    real_orders: bool,
    mainnet: bool,
    max_order: float,
    max_position: float,
    adopt: bool,
    command: Sequence[str],
) -> Done:
    """Run until stopped.

    Raises:
        ConfigError: options that contradict each other, or no credentials.
        FeedError, ScorenetError, RunDirError: as `runs.live.session.live`.
    """
    if paper and real_orders:
        raise ConfigError("--paper and --real-orders: expected one of them")
    if mainnet and not real_orders:
        raise ConfigError("--mainnet says where real orders go; it needs --real-orders")
    place = find_exchange(exchange)
    require(place, "stream")
    access = None
    if real_orders:
        require(place, "orders")
        access = Access(
            base_url=base_url, credentials=_credentials(exchange), sandbox=base_url is None and not mainnet
        )
    model = ScoreModel.load(model_dir)
    check_signal(model, params["signal"])
    market = ExchangeMarket(
        exchange=exchange,
        data_dir=data_dir,
        base_url=base_url,
        funding=account.funding or "funding_rate" in model.features.inputs,
        open_interest="open_interest" in model.features.inputs,
        speed=speed,
        progress=not quiet and sys.stderr.isatty(),
    )
    folder = out or _default_out([market.resolve(symbol) for symbol in symbols], model)
    request = LiveRequest(
        symbols=tuple(symbols),
        out=folder,
        timeframe=timeframe,
        since=since,
        max_bars=max_bars,
        max_loss=max_loss,
        kill_flatten=kill_flatten,
    )
    status = LiveStatus(sys.stderr, refreshing=sys.stderr.isatty(), quiet=quiet)
    if access is None:
        ended = live(model_dir, request, account, params, market, status, command=command)
        return Done(ended.metrics, ended.bars, ended.signal, folder)
    instruments = {found.symbol: found for found in map(market.instrument, symbols)}
    for found in instruments.values():
        if found.category != "linear":
            raise ConfigError(
                f"--real-orders trades linear perpetuals, found {found.symbol} ({found.category})"
            )
    caps = Caps(order=Decimal(repr(max_order)), position=Decimal(repr(max_position)))
    where = base_url or (
        f"{exchange.capitalize()}'s MAINNET, with real money"
        if mainnet
        else f"{exchange.capitalize()}'s testnet"
    )
    click.echo(
        f"scorenet: real orders go to {where}; at most {max_order:,.10g} USDT an order, "
        f"{max_position:,.10g} USDT a position",
        err=True,
    )
    with place.orders(access) as client:

        def shadow(journal: Journal, kill: KillSwitch, said: LiveStatus) -> Shadow:
            return Mirror(
                client, instruments, caps, journal, kill, said, adopt=adopt, max_loss=max_loss, place=where
            )

        ended = live(model_dir, request, account, params, market, status, shadow=shadow, command=command)
    return Done(ended.metrics, ended.bars, ended.signal, folder)


def _credentials(exchange: str) -> Credentials:
    names = (f"{exchange.upper()}_API_KEY", f"{exchange.upper()}_API_SECRET")
    missing = [name for name in names if not os.environ.get(name)]
    if missing:
        raise ConfigError(
            f"--real-orders needs {' and '.join(missing)} in the environment; make a key on the exchange that may "
            "trade and not withdraw"
        )
    key, secret = (os.environ[name].strip() for name in names)
    return Credentials(key, secret)


def _default_out(symbols: Sequence[str], model: ScoreModel) -> str:
    names = "-".join(re.sub(r"[^A-Za-z0-9]+", "", symbol.partition(":")[0]) for symbol in symbols)
    return f"out/live-{names}-{from_ms(int(model.info['bar_ms']))}"
