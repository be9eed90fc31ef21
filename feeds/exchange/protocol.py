"""The protocol that every exchange implements, and the table of its capabilities."""

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..errors import BadSource, BadTimeframe
from ..instruments import Instrument
from .access import Access, is_loopback
from .candles import CandleStream
from .failures import FailureRules
from .order_types import Orders
from .request import Request
from .rows import Table, TierRows

__all__ = ["Capabilities", "CcxtRules", "Exchange", "Venue", "check_timeframe", "require"]

_CAPABILITY_NAMES = {
    "mark_prices": "mark prices",
    "open_interest": "history of open interest",
    "stream": "live bars",
    "orders": "orders",
    "risk_tiers": "risk tiers",
}


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """The data and functions that an exchange offers, and the size limits of its responses.

    Attributes:
        categories: the supported ones of "linear", "inverse" (perpetuals) and "spot".
        timeframes: bar sizes, smallest first.
        kline_limit: largest window of one request for bars or mark prices, in bars.
        funding_limit: largest number of settlements in one response; 0: the exchange has no funding.
        funding_newest_first: whether a response cut to `funding_limit` keeps the newest rows; else it keeps the oldest.
        open_interest_limit: largest number of rows in one response.
        requests_per_second: rate limit of a client, in request weight per second, safely below the exchange's limit.
        mark_prices: whether it has bars of the mark price.
        open_interest: whether it has a history of open interest.
        stream: whether its websocket sends candles when they close.
        orders: whether real orders are supported.
        risk_tiers: whether its table of risk tiers is public.
        missing: by the name of a capability, the reason why it is not offered.
    """

    categories: tuple[str, ...]
    timeframes: tuple[str, ...]
    kline_limit: int
    funding_limit: int
    funding_newest_first: bool
    open_interest_limit: int
    requests_per_second: float
    mark_prices: bool
    open_interest: bool
    stream: bool
    orders: bool
    risk_tiers: bool = False
    missing: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class CcxtRules:
    """How to build ccxt's client of an exchange, and how to check its responses.

    ccxt_id: the name of ccxt's class. config: its configuration. urls: returns ccxt's table of URLs for another host.
    malformed: takes the URL and the JSON of an HTTP 200 and returns what is wrong with it; None if it is complete or
    reports an error correctly. error_code: returns the error code of a response. weight: takes the path and parameters
    of a request and returns its weight for the rate limit. answer_time: returns the exchange's time in a response, UTC
    seconds.
    """

    ccxt_id: str
    config: Mapping[str, Any]
    urls: Callable[[str], dict[str, Any]]
    malformed: Callable[[str, Any], str | None]
    error_code: Callable[[Any], int | None]
    weight: Callable[[str, Mapping[str, Any]], int]
    answer_time: Callable[[Any], float | None] = lambda answer: None


class Venue(enum.Enum):
    """What an order at a host trades with."""

    MAINNET = "mainnet"
    """Real money."""
    TESTNET = "testnet"
    DEMO = "demo"
    LOCAL = "this machine"


class Exchange(Protocol):
    """Describe the requests to an exchange (feeds.exchange.request); the clients send and repeat them.

    Ranges are half-open, in UTC ms. Tables are columns by name, each [N], oldest row first; `timestamp` is int64.
    """

    name: str
    capabilities: Capabilities
    ccxt_rules: CcxtRules
    failure_rules: FailureRules

    def server_time(self) -> Request[int]:
        """Request the exchange's time in UTC ms."""

    def instruments(self, category: str) -> Request[dict[str, Instrument]]:
        """Request the instruments of a category by symbol, including those not launched yet."""

    def klines(
        self, instrument: Instrument, timeframe: str, start: int, end: int, *, closed_for: int | None = None
    ) -> Request[Table]:
        """Request the bars that open in [start, end); the range is at most `kline_limit` bars wide.

        With `closed_for`, only bars that closed at least `closed_for` ms before the exchange's response are returned.
        Without it, the bar that is still open is included.
        """

    def mark_klines(
        self, instrument: Instrument, timeframe: str, start: int, end: int, *, closed_for: int | None = None
    ) -> Request[Table]:
        """Request the bars of the mark price that open in [start, end); as `klines`, but without volume."""

    def funding(self, instrument: Instrument, start: int, end: int) -> Request[Table]:
        """Request at most `funding_limit` settlements in [start, end): the newest if `funding_newest_first`."""

    def open_interest(self, instrument: Instrument, timeframe: str, start: int, end: int) -> Request[Table]:
        """Request the open interest at every `timeframe` in [start, end), at most `open_interest_limit` rows.

        Raises:
            BadSource: the exchange has no history of open interest.
            BadTimeframe: the exchange does not have it at this interval.
        """
        raise _lacking(self, "open_interest")

    def risk_tiers(self, instrument: Instrument) -> Request[TierRows]:
        """Request the risk tiers of a perpetual, smallest first: (limit of the position's value, maintenance rate,
        largest leverage[, deduction]); amounts in the settlement coin, rates as fractions.

        Raises:
            BadSource: the exchange does not publish them.
        """
        raise _lacking(self, "risk_tiers")

    def stream(self) -> CandleStream:
        """Return the message format of the exchange's candle websocket.

        Raises:
            BadSource: live bars are not supported at this exchange.
        """
        raise _lacking(self, "stream")

    def venue(self, host: str) -> Venue | None:
        """Return what trades at a host of this exchange: real or play money; None for an unknown host."""
        return Venue.LOCAL if is_loopback(host) else None

    def orders(self, access: Access) -> Orders:
        """Return a client for the orders of the account whose credentials are in `access`.

        Raises:
            BadSource: orders are not supported at this exchange.
        """
        raise _lacking(self, "orders")


def require(exchange: Exchange, what: str) -> None:
    """Check that an exchange offers `what`: "mark_prices", "open_interest", "stream" or "orders".

    Raises:
        BadSource: the exchange does not offer it; the message states the reason.
    """
    if not getattr(exchange.capabilities, what):
        raise _lacking(exchange, what)


def check_timeframe(exchange: Exchange, timeframe: str) -> None:
    """Check that an exchange has bars of a size.

    Raises:
        BadTimeframe: it does not; the message lists the sizes that it has.
    """
    sizes = exchange.capabilities.timeframes
    if timeframe not in sizes:
        raise BadTimeframe(f"expected a bar size of {exchange.name}: {', '.join(sizes)}; found {timeframe!r}")


def _lacking(exchange: Exchange, what: str) -> BadSource:
    reason = exchange.capabilities.missing.get(what, "this version does not support it at this exchange")
    return BadSource(f"{exchange.name} offers no {_CAPABILITY_NAMES[what]}: {reason}")
