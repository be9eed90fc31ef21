"""What an order is, what became of it, and how long to wait until that is certain."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from ..errors import ExchangeError
from ..instruments import Instrument

__all__ = [
    "HeldPosition",
    "MarketOrder",
    "OrderRejected",
    "OrderState",
    "OrderUnknown",
    "Patience",
    "PlacedOrder",
]


class OrderRejected(ExchangeError):
    """Report an order that the exchange refused: it does not exist, and will not.

    Attributes:
        code: the exchange's retCode, None when it never got through to the exchange.
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


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long to wait, in seconds, for an order to be certain; `window` is the exchange's receive window.

    `ban` is how long nothing is sent after the exchange refused this address. A request that is older than the window
    when it arrives is refused, so an order that is not found `window` and `margin` after it was sent does not exist.
    """

    window: float = 5.0
    margin: float = 2.0
    pause: float = 0.25
    fill: float = 10.0
    attempts: int = 3
    ban: float = 900.0
    sleep: Callable[[float], None] = time.sleep
    monotonic: Callable[[], float] = time.monotonic
