"""Fixtures of the Binance tests: a loopback exchange, and clients of both kinds without real pauses."""

import asyncio
import inspect
from contextlib import ExitStack

import pytest

from feeds.exchange.market import AsyncMarket, Market
from feeds.exchange.registry import find_exchange
from tests.binance import LoopbackBinance
from tests.bybit.fixtures import NOW


class Driven:
    """The asynchronous client with the interface of the synchronous one, on its own event loop."""

    def __init__(self, exchange, **settings):
        self._runner = asyncio.Runner()
        self._client = AsyncMarket(exchange, **settings)

    def __getattr__(self, name):
        found = getattr(self._client, name)
        if not inspect.iscoroutinefunction(found):
            return found
        return lambda *arguments, **named: self._runner.run(found(*arguments, **named))

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self._runner.run(self._client.close())
        self._runner.close()


@pytest.fixture
def binance():
    """Serve a new loopback Binance whose clock is fixed at `NOW`."""
    with LoopbackBinance(clock=NOW) as exchange:
        yield exchange


@pytest.fixture(params=[Market, Driven], ids=["sync", "async"])
def connect(request, binance, instant_retry):
    with ExitStack() as stack:

        def make(**options):
            retry = instant_retry(**options.pop("retry", {}))
            settings = {"base_url": binance.url, "requests_per_second": None, "retry": retry, **options}
            return stack.enter_context(request.param(find_exchange("binance"), **settings))

        yield make


@pytest.fixture
def client(connect):
    return connect()


@pytest.fixture
def btc(client, binance):
    instrument = client.instrument("BTC/USDT:USDT")
    binance.log.clear()
    return instrument
