"""Public market data of any exchange: validated rows or an error, with and without `await`.

Both clients run the same dialogues. What to ask and how to read it is the exchange's (feeds.exchange.protocol), when
to ask again is feeds.exchange.retry's.
"""

from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Concatenate, Generic, Literal, ParamSpec, Self, TypedDict, TypeVar, Unpack, overload

from ..instruments import Instrument, categories_of, find, unknown
from .access import Access
from .ccxt_clients import AsyncClient, ClientError, SyncClient, evidence_of, make_client
from .dialogue import Dialogue, Question, Wait
from .failures import Malformed
from .protocol import Exchange
from .rate_limit import RateLimiter
from .retry import Attempts, Retry
from .rows import Table

__all__ = ["AsyncMarket", "Market", "Pace", "Settings"]

_Result = TypeVar("_Result")
_Asked = ParamSpec("_Asked")

Pace = float | Literal["exchange"] | None
"""Requests of weight one a second: a number, "exchange" for the exchange's own limit, None for no limit."""


class Settings(TypedDict, total=False):
    """The keyword arguments of a client.

    base_url: "http://HOST:PORT" in place of the exchange's host. timeout: seconds a request (10). requests_per_second:
    its pace ("exchange"). retry: when a failed request is repeated. limiter: a rate limit and a ban to share with
    other clients, in place of an own one.
    """

    base_url: str | None
    timeout: float
    requests_per_second: Pace
    retry: Retry | None
    limiter: RateLimiter | None


class _asked(Generic[_Asked, _Result]):
    """A method written once as a dialogue: `Market` has its result, `AsyncMarket` an awaitable of it."""

    def __init__(self, dialogue: Callable[Concatenate[Any, _Asked], Dialogue[_Result]]) -> None:
        self._dialogue = dialogue
        self.__doc__ = dialogue.__doc__

    @overload
    def __get__(self, client: "Market", owner: Any = None) -> Callable[_Asked, _Result]: ...
    @overload
    def __get__(self, client: "AsyncMarket", owner: Any = None) -> Callable[_Asked, Awaitable[_Result]]: ...
    @overload
    def __get__(self, client: None, owner: Any = None) -> Self: ...
    def __get__(self, client: Any, owner: Any = None) -> Any:
        return self if client is None else partial(client._run_method, self._dialogue)


class _Common:
    """The methods of both clients."""

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
        """Return the requests made so far, by path."""
        counts: Counter[str] = self._client.counts
        return counts

    @_asked
    def server_time(self) -> Dialogue[int]:
        """Return the exchange's clock in UTC ms."""
        return (yield from self._ask(self.exchange.server_time()))

    @_asked
    def markets(self, category: str) -> Dialogue[dict[str, Instrument]]:
        """Return the perpetuals ("linear", "inverse") or pairs ("spot") by symbol; asked for once."""
        return (yield from self._listed(category))

    @_asked
    def instrument(self, name: str) -> Dialogue[Instrument]:
        """Return the instrument of a name: "BTC/USDT:USDT", its alias "BTCUSDT", or "BTC/USDT" (spot).

        Raises:
            BadSymbol: the exchange lists no such market; says which names are close.
        """
        offered = self.exchange.capabilities.categories
        for category in categories_of(name):
            if category in offered and (found := find(name, (yield from self._listed(category)))) is not None:
                return found
        listed = []
        for category in offered:
            listed.append((yield from self._listed(category)))
        raise unknown(self.name, name, dict(zip(offered, listed, strict=True)))

    @_asked
    def klines(
        self, instrument: Instrument, timeframe: str, start: int, end: int, *, closed_for: int | None = None
    ) -> Dialogue[Table]:
        """Return the bars that open in [start, end), at most the exchange's `kline_limit` bars wide.

        The open one is included, unless only those are wanted that had closed `closed_for` ms before the exchange
        answered.
        """
        return (
            yield from self._ask(
                self.exchange.klines(instrument, timeframe, start, end, closed_for=closed_for)
            )
        )

    @_asked
    def mark_klines(
        self, instrument: Instrument, timeframe: str, start: int, end: int, *, closed_for: int | None = None
    ) -> Dialogue[Table]:
        """Return the mark price's bars that open in [start, end), which have no volume; else as `klines`."""
        return (
            yield from self._ask(
                self.exchange.mark_klines(instrument, timeframe, start, end, closed_for=closed_for)
            )
        )

    @_asked
    def funding(self, instrument: Instrument, start: int, end: int) -> Dialogue[Table]:
        """Return settlements in [start, end), the exchange's `funding_limit` at most: the newest or the oldest."""
        return (yield from self._ask(self.exchange.funding(instrument, start, end)))

    @_asked
    def open_interest(self, instrument: Instrument, timeframe: str, start: int, end: int) -> Dialogue[Table]:
        """Return the open interest every `timeframe` in [start, end), `open_interest_limit` rows at most."""
        return (yield from self._ask(self.exchange.open_interest(instrument, timeframe, start, end)))

    def _listed(self, category: str) -> Dialogue[dict[str, Instrument]]:
        if category not in self._markets:
            self._markets[category] = yield from self._ask(self.exchange.instruments(category))
        return self._markets[category]

    def _ask(self, question: Question[_Result]) -> Dialogue[_Result]:
        """Put a question until it is answered."""
        attempts = Attempts(self._retry, self._limiter, self.exchange.failure_rules, question.what)
        while True:
            self._limiter.check()
            try:
                return (yield from question.begin())
            except (ClientError, Malformed) as error:
                delay = attempts.wait_after(error, evidence_of(error))
            yield Wait(delay)


class Market(_Common):
    """Ask an exchange for public market data; use as a context manager, or `close` it.

    `settings` are those of `Settings`. Ranges are half-open, in UTC ms. After a ban every method raises
    ExchangeBanned without asking.

    Raises:
        BadSource: `base_url` is no URL of a host, or the exchange does not offer what is asked for.
        ExchangeUnavailable: an answer could not be had for now, by any method.
        ExchangeBanned: the exchange refuses this address.
        ExchangeRejected: the exchange will never answer this request.
    """

    _kind = SyncClient

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _run_method(self, method: Callable[..., Dialogue[_Result]], *arguments: Any, **named: Any) -> _Result:
        dialogue = method(self, *arguments, **named)
        advance: Callable[[Any], Any] = dialogue.send
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
                advance = dialogue.send
            except ClientError as error:
                outcome, advance = error, dialogue.throw


class AsyncMarket(_Common):
    """Ask as `Market` does, of many things at once; use in `async with`, or `await close()`.

    Raises:
        BadSource, ExchangeUnavailable, ExchangeBanned, ExchangeRejected: as `Market`.
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
        self, method: Callable[..., Dialogue[_Result]], *arguments: Any, **named: Any
    ) -> _Result:
        dialogue = method(self, *arguments, **named)
        advance: Callable[[Any], Any] = dialogue.send
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
                advance = dialogue.send
            except ClientError as error:
                outcome, advance = error, dialogue.throw
