"""The process that trades in a soak: `live` with real orders, and a machine clock that jumps."""

from __future__ import annotations

import argparse
import random
import sys
import threading
import time
from collections.abc import Sequence
from decimal import Decimal
from functools import partial
from pathlib import Path

import torch

from feeds import ExchangeError
from feeds.bybit.orders import OrderClient, OrderTimeouts
from feeds.exchange.access import Access, Credentials
from feeds.exchange.retry import Retry
from feeds.instruments import Instrument
from feeds.live.clock import ExchangeClock
from runs.backtest import strategy_defaults
from runs.live.halt import KillSwitch
from runs.live.journal import Journal
from runs.live.market import ExchangeMarket
from runs.live.mirror import Caps, Mirror, MirrorOptions
from runs.live.session import LiveRequest, live
from runs.live.status import LiveStatus
from runs.settings import Account
from tests.bybit import Deposit
from tests.bybit.virtual_time import VirtualTime
from tests.chapter_rules import CHAPTER

__all__ = ["EXCHANGE_FAILED", "PARAMS", "main", "trade"]

EXCHANGE_FAILED = 75  # exit status: the exchange did not answer
LAG = 2.0  # seconds: the loopback shows orders at most 1.2 s late
PARAMS = {
    **CHAPTER,
    "confidence_threshold": 0.6,
    "rebalance_band": 0.3,
    "cooldown": 30,
    "density_quantile": 0.0,
    "target_volatility": 0.0,
}


def jump(rng: random.Random, seconds: float, clock=time.time) -> None:
    """Move the machine's date by up to a day, forward or back, again and again; its monotonic clock goes on."""
    offset = 0.0
    time.time = lambda: clock() + offset  # type: ignore[assignment]

    def move() -> None:
        nonlocal offset
        while True:
            time.sleep(rng.expovariate(1 / seconds))
            offset = rng.choice((0.0, 2.0, -2.0, 3_600.0, -3_600.0, 86_400.0))

    threading.Thread(target=move, name="clock jumps", daemon=True).start()


def trade(
    model: str | Path, out: Path, public: str, private: str | None, symbols: Sequence[str], status: LiveStatus
) -> None:
    """Trade until a signal; the journal in `out` goes on. `private` is the URL of the account (None: on paper)."""
    market = ExchangeMarket(
        data_dir=str(out.parent / "data"), base_url=public, speed=ExchangeClock().speed, progress=False
    )
    request = LiveRequest(symbols=tuple(symbols), out=str(out), timeframe="1m")
    start = partial(
        live, model, request, Account(lot_step=0.001), strategy_defaults() | PARAMS, market, status
    )
    if private is None:
        start()
        return
    rules: dict[str, Instrument] = {symbol: market.instrument(symbol) for symbol in symbols}
    deposit = Deposit()
    access = Access(base_url=private, timeout=1.0, credentials=Credentials(deposit.key, deposit.secret))
    timeouts = OrderTimeouts(window=1.0, margin=0.2, lag=LAG, pause=0.1, fill=2.0, create=10.0)
    # Several faults may be drawn for one endpoint in a row. With the usual 6 attempts that is an answer that stays
    # unreadable, which halts trading, as it should.
    retry = Retry(attempts=24, base=0.02, cap=0.2, budget=5.0)
    with OrderClient(access, retry=retry, timeouts=timeouts) as client:

        def real_orders(journal: Journal, kill: KillSwitch, shown: LiveStatus) -> Mirror:
            caps = Caps(order=Decimal(1_000_000), position=Decimal(1_000_000))
            return Mirror(client, rules, MirrorOptions(caps=caps, lag=LAG), journal, kill, shown)

        start(real_orders=real_orders)


def main() -> None:
    """Parse the command line and trade."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--model", "--public", "--private", "--out", "--symbols", "--time"):
        parser.add_argument(name, required=True)
    parser.add_argument("--speed", type=float, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--jump-seconds", type=float, default=5.0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    jump(random.Random(options.seed), options.jump_seconds)
    status = LiveStatus(sys.stderr, refreshing=False)
    symbols = options.symbols.split(",")
    with VirtualTime(Path(options.time)).leading(options.speed):
        try:
            trade(options.model, Path(options.out), options.public, options.private, symbols, status)
        except ExchangeError as error:
            sys.stderr.write(f"{error}\n")
            sys.exit(EXCHANGE_FAILED)


if __name__ == "__main__":
    main()
