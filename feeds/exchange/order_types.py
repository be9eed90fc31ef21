"""Orders, order states and positions, in terms that all exchanges share."""

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
    """The exchange rejected an order, or the order never reached it: the order does not exist.

    Attributes:
        code: the exchange's error code, None if the order never reached the exchange.
    """

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class OrderUnknown(ExchangeError):
    """It is not known yet whether an order exists; reconcile it before sending another order."""


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

    `status` is the exchange's own name for the state; a `final` state cannot change any more.
    """

    link_id: str
    order_id: str
    status: str
    filled: Decimal
    price: Decimal | None
    fee: Decimal
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
    """A position in one instrument: signed base units and the average entry price (quote)."""

    size: Decimal
    price: Decimal


class Orders(Protocol):
    """Client for the orders of one account; a context manager that closes its connections."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...

    def equity(self) -> Decimal:
        """Return the account's equity in USDT, including unrealised profit and loss."""

    def position(self, instrument: Instrument) -> HeldPosition:
        """Return the position in an instrument; size 0 without a position."""

    def open_orders(self, instrument: Instrument) -> list[PlacedOrder]:
        """Return the open orders of an instrument."""

    def create(self, order: MarketOrder) -> OrderState:
        """Send an order exactly once and return its state.

        Raises:
            OrderRejected: the order does not exist and will not exist.
            OrderUnknown: the order may exist; call `settle` later.
        """

    def settle(self, order: MarketOrder, sent: float) -> OrderState | None:
        """Return the state of an order sent at `sent` (monotonic seconds), None if it never reached the exchange.

        Raises:
            OrderUnknown: the lookup failed.
        """

    def cancel_all(self, instrument: Instrument) -> None:
        """Cancel the open orders of an instrument."""
