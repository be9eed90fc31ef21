"""Orders, order states, positions and account facts, in terms that all exchanges share."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol, Self

from ..errors import ExchangeError, ExchangeUnavailable
from ..instruments import Instrument

__all__ = [
    "AccountFacts",
    "Execution",
    "HeldPosition",
    "Interrupted",
    "MarketOrder",
    "NothingToReduce",
    "OrderRejected",
    "OrderState",
    "OrderUnknown",
    "Orders",
    "OrdersForbidden",
    "PlacedOrder",
    "UnreadableAnswer",
]


class OrderRejected(ExchangeError):
    """The exchange rejected an order, or the order never reached it: the order does not exist.

    Attributes:
        code: the exchange's error code, None if the order never reached the exchange.
    """

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class OrdersForbidden(OrderRejected):
    """The key or the account may not trade; every further order would be rejected too."""


class NothingToReduce(OrderRejected):
    """A reduce-only order was rejected, because there is no position that it could reduce."""


class OrderUnknown(ExchangeError):
    """The state of an order is not known; find it out before sending another order.

    Attributes:
        taken: whether the exchange has confirmed that the order exists. If not, it may exist.
    """

    def __init__(self, message: str, taken: bool = False) -> None:
        super().__init__(message)
        self.taken = taken


class UnreadableAnswer(ExchangeUnavailable):
    """Every answer to a repeated request had invalid content; the message quotes it."""


class Interrupted(ExchangeError):
    """A wait for the exchange ended early, because the caller asked to stop."""


@dataclass(frozen=True, kw_only=True)
class MarketOrder:
    """A market order for `quantity` base units (positive) of an instrument; `side` is "buy" or "sell".

    `link_id` is the client's unique order id: at most 36 letters, digits, - and _. `reduce_only` orders can reduce a
    position but not open or flip one.
    """

    instrument: Instrument
    side: str
    quantity: Decimal
    link_id: str
    reduce_only: bool = False


@dataclass(frozen=True, kw_only=True)
class OrderState:
    """The state of an order: `filled` base units at the average `price`, with `fee` in quote currency.

    `fee` is None if it was paid in another currency. `status` is the exchange's own name for the state; a `final`
    state cannot change any more.
    """

    link_id: str
    order_id: str
    status: str
    filled: Decimal
    price: Decimal | None
    fee: Decimal | None
    final: bool


@dataclass(frozen=True, kw_only=True)
class PlacedOrder:
    """An open order at the exchange, sent by this program or by any other; `quantity` is in base units."""

    order_id: str
    link_id: str
    side: str
    quantity: Decimal


@dataclass(frozen=True, kw_only=True)
class HeldPosition:
    """A position in one instrument: signed base units, the average entry price (quote), and the leverage setting."""

    size: Decimal
    price: Decimal
    leverage: Decimal | None = None


@dataclass(frozen=True, kw_only=True)
class Execution:
    """A fill: signed base units of `size` at `price` (quote), at `time` (UTC ms).

    `fee` is in quote currency, None if it was paid in another one.
    """

    link_id: str
    order_id: str
    size: Decimal
    price: Decimal
    fee: Decimal | None
    time: int


@dataclass(frozen=True, kw_only=True)
class AccountFacts:
    """Facts about the whole account; None where the exchange does not tell.

    margin_mode: "cross", "isolated" or "portfolio". positions: signed base units by the exchange's
    symbol id. orders: number of open orders by symbol id.
    """

    margin_mode: str | None
    positions: dict[str, Decimal] | None
    orders: dict[str, int] | None


class Orders(Protocol):
    """Client for the orders of one account; a context manager that closes its connections."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...

    def listen(self, stop: Callable[[], bool]) -> None:
        """End every wait with `Interrupted` as soon as `stop()` is true."""

    def now(self) -> int:
        """Return the exchange's time in UTC ms; the machine's wall clock has no part in it."""

    def account_id(self) -> str | None:
        """Return the exchange's number of the account that the key belongs to, None if it does not tell."""

    def facts(self) -> AccountFacts:
        """Return the facts about the whole account."""

    def rules(self, instrument: Instrument) -> Instrument:
        """Return an instrument with the trading rules that it has now."""

    def equity(self) -> Decimal:
        """Return the account's equity in USDT, including unrealised profit and loss."""

    def position(self, instrument: Instrument) -> HeldPosition:
        """Return the position in an instrument; size 0 without a position."""

    def open_orders(self, instrument: Instrument) -> list[PlacedOrder]:
        """Return the open orders of an instrument."""

    def executions(self, instrument: Instrument, link_id: str = "") -> list[Execution]:
        """Return the fills of an instrument, newest first: those of one order, or all of the last days."""

    def create(self, order: MarketOrder) -> OrderState:
        """Send an order exactly once and return its state.

        Raises:
            OrderRejected: the order does not exist and will not exist.
            OrderUnknown: the order may exist; call `settle` later.
        """

    def settle(self, order: MarketOrder, sent: float, taken: bool = False) -> OrderState | None:
        """Return the state of an order sent at `sent` (monotonic seconds), None if it certainly does not exist.

        An order that the exchange has `taken` exists, whatever the lookups show.

        Raises:
            OrderUnknown: it is not certain yet.
        """

    def cancel_all(self, instrument: Instrument) -> None:
        """Cancel the open orders of an instrument."""
