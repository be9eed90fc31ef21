"""Runs with real orders on the loopback exchange, over scripted bars; a clock that only sleeping moves."""

from __future__ import annotations

import io
from decimal import Decimal

from feeds import simulate
from feeds.bybit.market import Bybit
from feeds.bybit.orders import OrderClient, OrderTimeouts
from feeds.exchange.access import Access, Credentials
from feeds.exchange.rate_limit import RateLimiter
from feeds.exchange.retry import Retry
from runs.backtest import strategy_defaults
from runs.live.journal import open_journal
from runs.live.mirror import Caps, Mirror, MirrorOptions
from runs.live.session import LiveRequest, live
from runs.live.status import LiveStatus
from runs.settings import Account
from tests.bybit import Deposit
from tests.chapter_rules import CHAPTER
from tests.runs.live.live_market import ScriptedMarket, open_at

__all__ = [
    "CREATE",
    "KEY",
    "PARAMS",
    "SECRET",
    "START",
    "SYMBOL",
    "WIDE",
    "Moments",
    "frame",
    "go",
    "records",
]

SYMBOL = "BTC/USDT:USDT"
START = 60
PARAMS = {
    **CHAPTER,
    "confidence_threshold": 0.0,
    "rebalance_band": 0.05,
    "cooldown": 2,
    "density_quantile": 0.0,
}
WIDE = Caps(order=Decimal(1_000_000), position=Decimal(1_000_000))
KEY, SECRET = Deposit().key, Deposit().secret
CREATE = "/v5/order/create"


class Moments:
    """A clock of seconds that only sleeping moves."""

    def __init__(self):
        self.now = 1000.0

    def sleep(self, seconds):
        self.now += seconds

    def monotonic(self):
        return self.now


def frame(bars=100):
    return simulate("planted", seed=6, bars=bars, start="2021-01-01", symbol=SYMBOL)


def go(
    model,
    exchange,
    out,
    bars,
    before=lambda opened: 0,
    caps=WIDE,
    adopt=False,
    said=None,
    loss=0.0,
    lag=0.2,
    moments=None,
    speed=1.0,
    **request,
):
    access = Access(base_url=exchange.url, timeout=0.5, credentials=Credentials(KEY, SECRET))
    retry = Retry(attempts=3, base=0.01, cap=0.02)
    timeouts = OrderTimeouts(window=0.3, margin=0.1, lag=lag, pause=0.02, fill=1.0)
    clocks = {}
    if moments is not None:
        clocks = {"sleep": moments.sleep, "monotonic": moments.monotonic}
        timeouts = OrderTimeouts(**clocks)
        lag = MirrorOptions(caps=caps).lag
    with Bybit(base_url=exchange.url) as public:
        rules = {SYMBOL: public.instrument("BTCUSDT")}
    with OrderClient(access, limiter=RateLimiter(None), retry=retry, timeouts=timeouts) as client:

        def real_orders(journal, kill, status):
            options = MirrorOptions(caps=caps, adopt=adopt, max_loss=loss, lag=lag)
            return Mirror(client, rules, options, journal, kill, status, **clocks)

        market = ScriptedMarket([bars], open_at(bars, START) + 5, before)
        market.speed = speed
        wanted = LiveRequest(symbols=(SYMBOL,), out=str(out), **request)
        status = LiveStatus(said or io.StringIO(), refreshing=False)
        return live(
            model,
            wanted,
            Account(lot_step=0.001),
            strategy_defaults() | PARAMS,
            market,
            status,
            real_orders=real_orders,
        )


def records(out, *kinds):
    with open_journal(out) as journal:
        return list(journal.records(*kinds))
