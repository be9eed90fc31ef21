"""Synchronous and asynchronous clients for the public market data of any exchange: validated rows or an error.

Both clients run the same flows. The exchange defines its requests and how to parse the responses
(feeds.exchange.protocol); feeds.exchange.retry decides when a failed request is repeated.
"""

from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Concatenate, Generic, Literal, ParamSpec, Self, TypedDict, TypeVar, Unpack, overload

from ..instruments import Instrument, categories_of, find, unknown
from .access import Access
from .ccxt_clients import AsyncClient, ClientError, SyncClient, evidence_of, make_client
from .failures import Malformed
from .protocol import Exchange, require
from .rate_limit import RateLimiter
from .request import Flow, Request, Wait
from .retry import Attempts, Retry
from .rows import Table, TierRows

__all__ = ["AsyncMarket", "Market", "Pace", "Settings"]

_Result = TypeVar("_Result")
_Parameters = ParamSpec("_Parameters")

Pace = float | Literal["exchange"] | None
"""Request weight per second: a number, "exchange" for the exchange's own rate limit, None for no limit."""


class Settings(TypedDict, total=False):
    """The keyword arguments of a client.

    base_url: "http://HOST:PORT" in place of the exchange's host. timeout: seconds per request (10).
    requests_per_second: the rate limit ("exchange"). retry: the retry policy for failed requests. limiter: a rate
    limiter to share with other clients; a ban of one client then stops all of them.
    """

    base_url: str | None
    timeout: float
    requests_per_second: Pace
    retry: Retry | None
    limiter: RateLimiter | None


class _client_method(Generic[_Parameters, _Result]):
    """Descriptor for a method written as a flow: it returns the result on `Market`, an awaitable on `AsyncMarket`."""

    def __init__(self, flow: Callable[Concatenate[Any, _Parameters], Flow[_Result]]) -> None:
        self._flow = flow
        self.__doc__ = flow.__doc__

    @overload
    def __get__(self, client: "Market", owner: Any = None) -> Callable[_Parameters, _Result]: ...
    @overload
    def __get__(
        self, client: "AsyncMarket", owner: Any = None
    ) -> Callable[_Parameters, Awaitable[_Result]]: ...
    @overload
    def __get__(self, client: None, owner: Any = None) -> Self: ...
    def __get__(self, client: Any, owner: Any = None) -> Any:
        return self if client is None else partial(client._run_method, self._flow)


class _Client:
    """Base class of both clients."""

    _kind: type[Any]

    def __init__(self, exchange: Exchange, **settings: Unpack[Settings]) -> None:
        pace = settings.get("requests_per_second", "exchange")
        own = exchange.capabilities.requests_per_second if pace == "exchange" else pace
        access = Access(base_url=settings.get("base_url"), timeout=settings.get("timeout", 10.0))
        self.exchange = exchange
        self._limiter = settings.get("limiter") or RateLimiter(own)
        self._retry = settings.get("retry") or Retry()
        self._client = make_client(self._kind, exchange.ccxt_rules, access, self._limiter)
        self._markets: dict[str, dict[str, Instrument]] = {}

    @property
    def name(self) -> str:
        """Return the exchange's name."""
        return self.exchange.name

    @property
    def counts(self) -> Counter[str]:
        """Return the number of requests made so far, by URL path."""
        counts: Counter[str] = self._client.counts
        return counts

    @_client_method
    def server_time(self) -> Flow[int]:
        """Return the exchange's time in UTC ms."""
        return (yield from self._send(self.exchange.server_time()))

    @_client_method
    def markets(self, category: str) -> Flow[dict[str, Instrument]]:
        """Return the perpetuals ("linear", "inverse") or pairs ("spot") by symbol; only the first call is a request."""
        return (yield from self._load_markets(category))

    @_client_method
    def instrument(self, name: str) -> Flow[Instrument]:
        """Return the instrument of a name: "BTC/USDT:USDT", its alias "BTCUSDT", or "BTC/USDT" (spot).

        Raises:
            BadSymbol: the exchange does not list this market; the message suggests similar names.
        """
        offered = self.exchange.capabilities.categories
        for category in categories_of(name):
            if (
                category in offered
                and (found := find(name, (yield from self._load_markets(category)))) is not None
            ):
                return found
        listed = []
        for category in offered:
            listed.append((yield from self._load_markets(category)))
        raise unknown(self.name, name, dict(zip(offered, listed, strict=True)))

    @_client_method
    def lists(self, instrument: Instrument) -> Flow[bool]:
        """Return whether the exchange lists an instrument now; every call is a request."""
        listed = yield from self._send(self.exchange.instruments(instrument.category))
        return instrument.symbol in listed

    @_client_method
    def klines(
        self, instrument: Instrument, timeframe: str, start: int, end: int, *, closed_for: int | None = None
    ) -> Flow[Table]:
        """Return the bars that open in [start, end), columns [N]; the range is at most `kline_limit` bars wide.

        With `closed_for`, only bars that closed at least `closed_for` ms before the exchange's response are returned.
        Without it, the bar that is still open is included.
        """
        return (
            yield from self._send(
                self.exchange.klines(instrument, timeframe, start, end, closed_for=closed_for)
            )
        )

    @_client_method
    def mark_klines(
        self, instrument: Instrument, timeframe: str, start: int, end: int, *, closed_for: int | None = None
    ) -> Flow[Table]:
        """Return the bars of the mark price that open in [start, end); as `klines`, but without volume."""
        return (
            yield from self._send(
                self.exchange.mark_klines(instrument, timeframe, start, end, closed_for=closed_for)
            )
        )

    @_client_method
    def funding(self, instrument: Instrument, start: int, end: int) -> Flow[Table]:
        """Return at most `funding_limit` settlements in [start, end): the newest if `funding_newest_first`."""
        return (yield from self._send(self.exchange.funding(instrument, start, end)))

    @_client_method
    def open_interest(self, instrument: Instrument, timeframe: str, start: int, end: int) -> Flow[Table]:
        """Return the open interest at every `timeframe` in [start, end), at most `open_interest_limit` rows."""
        return (yield from self._send(self.exchange.open_interest(instrument, timeframe, start, end)))

    @_client_method
    def risk_tiers(self, instrument: Instrument) -> Flow[TierRows]:
        """Return the risk tiers of a perpetual, smallest first, in the form of `Costs.risk_tiers`."""
        require(self.exchange, "risk_tiers")
        return (yield from self._send(self.exchange.risk_tiers(instrument)))

    def _load_markets(self, category: str) -> Flow[dict[str, Instrument]]:
        if category not in self._markets:
            self._markets[category] = yield from self._send(self.exchange.instruments(category))
        return self._markets[category]

    def _send(self, request: Request[_Result]) -> Flow[_Result]:
        """Repeat a request until it succeeds or the retry policy gives up."""
        attempts = Attempts(self._retry, self._limiter, self.exchange.failure_rules, request.description)
        while True:
            self._limiter.check()
            try:
                return (yield from request.start())
            except (ClientError, Malformed) as error:
                delay = attempts.wait_after(error, evidence_of(error))
            yield Wait(delay)


class Market(_Client):
    """Synchronous client for an exchange's public market data; use it as a context manager, or call `close`.

    The keyword arguments are those of `Settings`. Ranges are half-open, in UTC ms. After a ban every method raises
    ExchangeBanned without sending a request.

    Raises:
        BadSource: `base_url` is not the URL of a host, or the exchange does not offer the requested data.
        ExchangeUnavailable: all retries of a request failed (any method).
        ExchangeBanned: the exchange refuses this address (any method).
        ExchangeRejected: the exchange rejected a request, so a retry is useless (any method).
    """

    _kind = SyncClient

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _run_method(self, method: Callable[..., Flow[_Result]], *arguments: Any, **named: Any) -> _Result:
        flow = method(self, *arguments, **named)
        advance: Callable[[Any], Any] = flow.send
        outcome: Any = None
        while True:
            try:
                step = advance(outcome)
            except StopIteration as end:
                result: _Result = end.value
                return result
            try:
                if isinstance(step, Wait):
                    self._retry.sleep(step.seconds)
                    outcome = None
                else:
                    outcome = step(self._client)
                advance = flow.send
            except ClientError as error:
                outcome, advance = error, flow.throw


class AsyncMarket(_Client):
    """Asynchronous client for concurrent requests; use it in `async with`, or call `await close()`.

    Raises:
        BadSource, ExchangeUnavailable, ExchangeBanned, ExchangeRejected: as in `Market`.
    """

    _kind = AsyncClient

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def _run_method(
        self, method: Callable[..., Flow[_Result]], *arguments: Any, **named: Any
    ) -> _Result:
        flow = method(self, *arguments, **named)
        advance: Callable[[Any], Any] = flow.send
        outcome: Any = None
        while True:
            try:
                step = advance(outcome)
            except StopIteration as end:
                result: _Result = end.value
                return result
            try:
                if isinstance(step, Wait):
                    await self._retry.asleep(step.seconds)
                    outcome = None
                else:
                    outcome = await step(self._client)
                advance = flow.send
            except ClientError as error:
                outcome, advance = error, flow.throw
