"""Orders, their outcomes and positions, in terms that every exchange shares."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol, Self

from ..errors import ExchangeError
from ..instruments import Instrument

__all__ = [
    "HeldPosition",
    "MarketOrder",
    "OrderRejected",
    "OrderState",
    "OrderUnknown",
    "Orders",
    "PlacedOrder",
]


class OrderRejected(ExchangeError):
    """Report an order that the exchange refused: it does not exist, and will not.

    Attributes:
        code: the exchange's error code, None when it never got through to the exchange.
    """

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class OrderUnknown(ExchangeError):
    """Report an order of which nobody can say yet whether it exists: send nothing before it is found out."""


@dataclass(frozen=True, kw_only=True)
class MarketOrder:
    """Ask for `quantity` base units (positive) of an instrument, at the market; `side` is "buy" or "sell".

    `link_id` names the order for good: letters, digits, - and _, 36 at most.
    """

    instrument: Instrument
    side: str
    quantity: Decimal
    link_id: str
    reduce_only: bool = False


@dataclass(frozen=True, kw_only=True)
class OrderState:
    """Tell what became of an order: `filled` base units at `price` on average, for `fee` (quote); over when `final`."""

    link_id: str
    order_id: str
    status: str
    filled: Decimal
    price: Decimal | None
    fee: Decimal
    final: bool


@dataclass(frozen=True, kw_only=True)
class PlacedOrder:
    """An order in the book, whoever sent it."""

    order_id: str
    link_id: str
    side: str
    quantity: Decimal


@dataclass(frozen=True, kw_only=True)
class HeldPosition:
    """A position in one instrument: signed base units and the average entry price (quote)."""

    size: Decimal
    price: Decimal


class Orders(Protocol):
    """Trade one account: what a live run asks of an exchange. A context manager that closes its connections."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...

    def equity(self) -> Decimal:
        """Return the account's equity in USDT, unrealised gains included."""

    def position(self, instrument: Instrument) -> HeldPosition:
        """Return the position in an instrument; none is size 0."""

    def open_orders(self, instrument: Instrument) -> list[PlacedOrder]:
        """Return the orders in the book of an instrument."""

    def create(self, order: MarketOrder) -> OrderState:
        """Send an order once and return what became of it.

        Raises:
            OrderRejected: it does not exist and will not.
            OrderUnknown: it may exist; ask `settle` later.
        """

    def settle(self, order: MarketOrder, sent: float) -> OrderState | None:
        """Return what became of an order sent at `sent` (monotonic seconds), None if it never arrived.

        Raises:
            OrderUnknown: the exchange does not say.
        """

    def cancel_all(self, instrument: Instrument) -> None:
        """Cancel the orders in the book of an instrument."""
