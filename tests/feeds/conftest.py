"""Fixtures of the exchange tests: a fresh loopback exchange, and clients that wait for nothing."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from feeds.exchange import Bybit
from feeds.failures import Retry
from tests.bybit import LoopbackBybit
from tests.bybit.fixtures import NOW, bybit

__all__ = ["bybit"]


@pytest.fixture
def slept() -> list[float]:
    """Return the waits that the client asked for, in seconds."""
    return []


@pytest.fixture
def connect(bybit: LoopbackBybit, slept: list[float]) -> Iterator[Callable[..., Bybit]]:
    """Return a function that makes a client of the loopback exchange; its waits go to `slept`."""
    with ExitStack() as stack:

        def make(**options: object) -> Bybit:
            policy = {"sleep": slept.append, "clock": lambda: NOW / 1000, "jitter": lambda: 1.0}
            retry = Retry(**{**policy, **options.pop("retry", {})})
            settings = {"base_url": bybit.url, "requests_per_second": None, "retry": retry, **options}
            return stack.enter_context(Bybit(**settings))

        yield make


@pytest.fixture
def client(connect: Callable[..., Bybit]) -> Bybit:
    return connect()
