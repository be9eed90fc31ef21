"""What an exchange must answer, and the table of what it offers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..errors import BadSource, BadTimeframe
from ..instruments import Instrument
from .access import Access
from .candles import CandleStream
from .dialogue import Question
from .failures import FailureRules
from .order_types import Orders
from .rows import Table

__all__ = ["Capabilities", "CcxtRules", "Exchange", "check_timeframe", "require"]

_WORDS = {
    "mark_prices": "mark prices",
    "open_interest": "history of open interest",
    "stream": "live bars",
    "orders": "orders",
}


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """State what an exchange offers, and how much of it comes in one answer.

    Attributes:
        categories: of "linear", "inverse" (perpetuals) and "spot".
        timeframes: bar sizes, smallest first.
        kline_limit: the widest window of bars and mark prices that can be asked for at once, in bars.
        funding_limit: settlements in one answer; 0: there is no funding.
        funding_newest_first: an answer that is cut to `funding_limit` keeps the newest rows, else the oldest.
        open_interest_limit: rows in one answer.
        requests_per_second: the pace of a client, in requests of weight one, safely below the exchange's limit.
        mark_prices, open_interest, stream, orders: whether it has bars of the mark price, history of open interest,
            candles pushed as they close, real orders.
        missing: why something is not offered, by its name.
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
    missing: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class CcxtRules:
    """Say how ccxt's client of an exchange is built, and how its answers are checked.

    `ccxt_id` names ccxt's class and `config` goes to it; `urls` returns ccxt's table of URLs for another host.
    `malformed` takes the URL and the JSON of an HTTP 200 and says what is wrong with it, None if it is whole or a
    proper error; `error_code` reads the code of an error. `weight` is what a request counts against the pace.
    """

    ccxt_id: str
    config: Mapping[str, Any]
    urls: Callable[[str], dict[str, Any]]
    malformed: Callable[[str, Any], str | None]
    error_code: Callable[[Any], int | None]
    weight: Callable[[str, Mapping[str, Any]], int]


class Exchange(Protocol):
    """Answer as questions (feeds.exchange.dialogue): who asks them, and how often, is decided elsewhere.

    Ranges are half-open, in UTC ms. Tables are columns by name, each [N], oldest row first; `timestamp` is int64.
    """

    name: str
    capabilities: Capabilities
    ccxt_rules: CcxtRules
    failure_rules: FailureRules

    def server_time(self) -> Question[int]:
        """Ask for the exchange's clock in UTC ms."""

    def instruments(self, category: str) -> Question[dict[str, Instrument]]:
        """Ask for the instruments of a category by symbol, those before launch too."""

    def klines(
        self, instrument: Instrument, timeframe: str, start: int, end: int, *, closed_for: int | None = None
    ) -> Question[Table]:
        """Ask for the bars that open in [start, end), at most `kline_limit` bars wide.

        The open one is included, unless only those are wanted that had closed `closed_for` ms before the exchange
        answered.
        """

    def mark_klines(
        self, instrument: Instrument, timeframe: str, start: int, end: int, *, closed_for: int | None = None
    ) -> Question[Table]:
        """Ask for the mark price's bars that open in [start, end), which have no volume; else as `klines`."""

    def funding(self, instrument: Instrument, start: int, end: int) -> Question[Table]:
        """Ask for settlements in [start, end), `funding_limit` at most: the newest or the oldest."""

    def open_interest(self, instrument: Instrument, timeframe: str, start: int, end: int) -> Question[Table]:
        """Ask for the open interest every `timeframe` in [start, end), `open_interest_limit` rows at most.

        Raises:
            BadSource: the exchange has none.
            BadTimeframe: it has none so often.
        """
        raise _lacking(self, "open_interest")

    def stream(self) -> CandleStream:
        """Return how candles are pushed.

        Raises:
            BadSource: they are not.
        """
        raise _lacking(self, "stream")

    def orders(self, access: Access) -> Orders:
        """Return a client of the account that `access` has the credentials of.

        Raises:
            BadSource: no orders can be sent there.
        """
        raise _lacking(self, "orders")


def require(exchange: Exchange, what: str) -> None:
    """Make sure that an exchange offers `what`: "mark_prices", "open_interest", "stream" or "orders".

    Raises:
        BadSource: it does not; says why.
    """
    if not getattr(exchange.capabilities, what):
        raise _lacking(exchange, what)


def check_timeframe(exchange: Exchange, timeframe: str) -> None:
    """Make sure that an exchange has bars of a size.

    Raises:
        BadTimeframe: it does not; says which it has.
    """
    sizes = exchange.capabilities.timeframes
    if timeframe not in sizes:
        raise BadTimeframe(f"{exchange.name} has bars of {', '.join(sizes)}; found {timeframe!r}")


def _lacking(exchange: Exchange, what: str) -> BadSource:
    reason = exchange.capabilities.missing.get(what, "this version does not support it there")
    return BadSource(f"{exchange.name} offers no {_WORDS[what]}: {reason}")
