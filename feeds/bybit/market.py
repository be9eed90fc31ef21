"""Bybit's public market data: validated rows or an error, with and without `await`.

Both clients ask the questions of feeds.bybit.endpoints and are as patient as feeds.exchange.retry says.
"""

from collections import Counter
from typing import Any, Self, TypeVar

from ..exchange.client import Access, AsyncClient, ClientError, SyncClient, evidence_of
from ..exchange.failures import Malformed
from ..exchange.rate_limit import REQUESTS_PER_SECOND, Gate
from ..exchange.retry import Attempts, Retry
from ..instruments import CATEGORIES, Instrument, categories_of, find, unknown
from . import endpoints
from .endpoints import Question
from .parse import Table

__all__ = ["AsyncBybit", "Bybit"]

_Result = TypeVar("_Result")


class _Common:
    name = "bybit"

    def __init__(self, client: Any, gate: Gate, retry: Retry | None) -> None:
        self._client = client
        self._gate = gate
        self._retry = retry or Retry()
        self._markets: dict[str, dict[str, Instrument]] = {}

    @property
    def counts(self) -> Counter[str]:
        """Return the requests made so far, by path."""
        counts: Counter[str] = self._client.counts
        return counts


class Bybit(_Common):
    """Ask Bybit for public market data; use as a context manager, or `close` it.

    `base_url` ("http://HOST:PORT") replaces the exchange's host, `timeout` is seconds a request, and
    `requests_per_second` None switches the client's own pace off; clients given one `gate` share a pace and a
    ban. Ranges are half-open, in UTC ms. After a ban every method raises ExchangeBanned without asking.

    Raises:
        BadSource: `base_url` is no URL of a host.
        ExchangeUnavailable: an answer could not be had for now, by any method.
        ExchangeBanned: the exchange refuses this address.
        ExchangeRejected: the exchange will never answer this request.
    """

    def __init__(
        self,
        *,
        base_url: str | None = None,
        timeout: float = 10.0,
        requests_per_second: float | None = REQUESTS_PER_SECOND,
        retry: Retry | None = None,
        gate: Gate | None = None,
    ) -> None:
        gate = gate or Gate(requests_per_second)
        super().__init__(SyncClient(Access(base_url=base_url, timeout=timeout), gate), gate, retry)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def server_time(self) -> int:
        """Return the exchange's clock in UTC ms."""
        return self._ask(endpoints.server_time())

    def markets(self, category: str) -> dict[str, Instrument]:
        """Return the perpetuals ("linear", "inverse") or pairs ("spot") by symbol; asked for once."""
        if category not in self._markets:
            self._markets[category] = self._ask(endpoints.instruments(category))
        return self._markets[category]

    def instrument(self, name: str) -> Instrument:
        """Return the instrument of a name: "BTC/USDT:USDT", its alias "BTCUSDT", or "BTC/USDT" (spot).

        Raises:
            BadSymbol: the exchange lists no such market; says which names are close.
        """
        for category in categories_of(name):
            if (found := find(name, self.markets(category))) is not None:
                return found
        raise unknown(name, [self.markets(category) for category in CATEGORIES])

    def klines(
        self, instrument: Instrument, timeframe: str, start: int, end: int, *, closed_for: int | None = None
    ) -> Table:
        """Return the bars that open in [start, end), at most KLINE_LIMIT bars wide.

        The open one is included, unless only those are wanted that closed `closed_for` ms before the answer's stamp.
        """
        return self._ask(endpoints.klines(instrument, timeframe, start, end, closed_for=closed_for))

    def mark_klines(
        self, instrument: Instrument, timeframe: str, start: int, end: int, *, closed_for: int | None = None
    ) -> Table:
        """Return the mark price's bars that open in [start, end), which have no volume; else as `klines`."""
        return self._ask(endpoints.mark_klines(instrument, timeframe, start, end, closed_for=closed_for))

    def funding(self, instrument: Instrument, start: int, end: int) -> Table:
        """Return the newest settlements in [start, end), FUNDING_LIMIT at most."""
        return self._ask(endpoints.funding(instrument, start, end))

    def open_interest(self, instrument: Instrument, timeframe: str, start: int, end: int) -> Table:
        """Return the open interest every `timeframe` in [start, end), OPEN_INTEREST_LIMIT rows at most."""
        return self._ask(endpoints.open_interest(instrument, timeframe, start, end))

    def _ask(self, question: Question[_Result]) -> _Result:
        attempts = Attempts(self._retry, self._gate, question.what)
        while True:
            self._gate.check()
            try:
                return self._attempt(question)
            except (ClientError, Malformed) as error:
                delay = attempts.wait_after(error, evidence_of(error))
            self._retry.sleep(delay)

    def _attempt(self, question: Question[_Result]) -> _Result:
        dialogue, answer = question.begin(), None
        while True:
            try:
                call = dialogue.send(answer)
            except StopIteration as done:
                result: _Result = done.value
                return result
            answer = call(self._client)


class AsyncBybit(_Common):
    """Ask as `Bybit` does, of many things at once; use in `async with`, or `await close()`.

    Raises:
        BadSource: `base_url` is no URL of a host.
        ExchangeUnavailable: an answer could not be had for now, by any method.
        ExchangeBanned: the exchange refuses this address.
        ExchangeRejected: the exchange will never answer this request.
    """

    def __init__(
        self,
        *,
        base_url: str | None = None,
        timeout: float = 10.0,
        requests_per_second: float | None = REQUESTS_PER_SECOND,
        retry: Retry | None = None,
        gate: Gate | None = None,
    ) -> None:
        gate = gate or Gate(requests_per_second)
        super().__init__(AsyncClient(Access(base_url=base_url, timeout=timeout), gate), gate, retry)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def server_time(self) -> int:
        """Return the exchange's clock in UTC ms."""
        return await self._ask(endpoints.server_time())

    async def markets(self, category: str) -> dict[str, Instrument]:
        """Return the perpetuals ("linear", "inverse") or pairs ("spot") by symbol; asked for once."""
        if category not in self._markets:
            self._markets[category] = await self._ask(endpoints.instruments(category))
        return self._markets[category]

    async def instrument(self, name: str) -> Instrument:
        """Return the instrument of a name: "BTC/USDT:USDT", its alias "BTCUSDT", or "BTC/USDT" (spot).

        Raises:
            BadSymbol: the exchange lists no such market; says which names are close.
        """
        for category in categories_of(name):
            if (found := find(name, await self.markets(category))) is not None:
                return found
        raise unknown(name, [await self.markets(category) for category in CATEGORIES])

    async def klines(
        self, instrument: Instrument, timeframe: str, start: int, end: int, *, closed_for: int | None = None
    ) -> Table:
        """Return the bars that open in [start, end), at most KLINE_LIMIT bars wide.

        The open one is included, unless only those are wanted that closed `closed_for` ms before the answer's stamp.
        """
        return await self._ask(endpoints.klines(instrument, timeframe, start, end, closed_for=closed_for))

    async def mark_klines(
        self, instrument: Instrument, timeframe: str, start: int, end: int, *, closed_for: int | None = None
    ) -> Table:
        """Return the mark price's bars that open in [start, end), which have no volume; else as `klines`."""
        return await self._ask(
            endpoints.mark_klines(instrument, timeframe, start, end, closed_for=closed_for)
        )

    async def funding(self, instrument: Instrument, start: int, end: int) -> Table:
        """Return the newest settlements in [start, end), FUNDING_LIMIT at most."""
        return await self._ask(endpoints.funding(instrument, start, end))

    async def open_interest(self, instrument: Instrument, timeframe: str, start: int, end: int) -> Table:
        """Return the open interest every `timeframe` in [start, end), OPEN_INTEREST_LIMIT rows at most."""
        return await self._ask(endpoints.open_interest(instrument, timeframe, start, end))

    async def _ask(self, question: Question[_Result]) -> _Result:
        attempts = Attempts(self._retry, self._gate, question.what)
        while True:
            self._gate.check()
            try:
                return await self._attempt(question)
            except (ClientError, Malformed) as error:
                delay = attempts.wait_after(error, evidence_of(error))
            await self._retry.asleep(delay)

    async def _attempt(self, question: Question[_Result]) -> _Result:
        dialogue, answer = question.begin(), None
        while True:
            try:
                call = dialogue.send(answer)
            except StopIteration as done:
                result: _Result = done.value
                return result
            answer = await call(self._client)
