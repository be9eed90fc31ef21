"""Fixtures of the exchange tests: a new loopback exchange, and clients without real pauses."""

import asyncio
import inspect
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, Self

import pytest

from feeds.bybit.market import AsyncBybit, Bybit
from feeds.exchange.retry import Retry
from tests.bybit import LoopbackBybit
from tests.bybit.fixtures import NOW, bybit

__all__ = ["bybit"]


class Driven:
    """The asynchronous client with the interface of the synchronous one, on its own event loop."""

    def __init__(self, **settings: Any) -> None:
        self._runner = asyncio.Runner()
        self._client = AsyncBybit(**settings)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if not inspect.iscoroutinefunction(found):
            return found
        return lambda *arguments, **named: self._runner.run(found(*arguments, **named))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._runner.run(self._client.close())
        self._runner.close()


@pytest.fixture
def slept() -> list[float]:
    """Return the list of pauses that the client made, in seconds."""
    return []


@pytest.fixture
def instant_retry(slept: list[float]) -> Callable[..., Retry]:
    """Return a function that creates a retry policy whose pauses are recorded in `slept` and take no time."""

    async def asleep(seconds: float) -> None:
        slept.append(seconds)
        await asyncio.sleep(0)

    def make(**changes: Any) -> Retry:
        policy = {"sleep": slept.append, "asleep": asleep, "clock": lambda: NOW / 1000, "jitter": lambda: 1.0}
        return Retry(**{**policy, **changes})

    return make


@pytest.fixture(params=[Bybit, Driven], ids=["sync", "async"])
def connect(
    request: pytest.FixtureRequest, bybit: LoopbackBybit, instant_retry: Callable[..., Retry]
) -> Iterator[Callable[..., Any]]:
    """Return a function that creates a client of the loopback exchange; each test runs with both kinds."""
    with ExitStack() as stack:

        def make(**options: Any) -> Any:
            retry = instant_retry(**options.pop("retry", {}))
            settings = {"base_url": bybit.url, "requests_per_second": None, "retry": retry, **options}
            return stack.enter_context(request.param(**settings))

        yield make


@pytest.fixture
def client(connect: Callable[..., Any]) -> Any:
    return connect()
