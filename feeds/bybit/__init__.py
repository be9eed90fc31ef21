"""The code for Bybit alone: REST requests and responses, websocket messages, and orders."""

from typing import TYPE_CHECKING, Any

from .exchange import EXCHANGE, FUNDING_LIMIT, KLINE_LIMIT, OPEN_INTEREST_LIMIT
from .parse import Table, parse_klines, unite

if TYPE_CHECKING:
    from ..exchange.order_types import (
        HeldPosition,
        MarketOrder,
        OrderRejected,
        OrderState,
        OrderUnknown,
        PlacedOrder,
    )
    from .market import AsyncBybit, Bybit
    from .orders import OrderClient

__all__ = [
    "EXCHANGE",
    "FUNDING_LIMIT",
    "KLINE_LIMIT",
    "OPEN_INTEREST_LIMIT",
    "AsyncBybit",
    "Bybit",
    "HeldPosition",
    "MarketOrder",
    "OrderClient",
    "OrderRejected",
    "OrderState",
    "OrderUnknown",
    "PlacedOrder",
    "Table",
    "parse_klines",
    "unite",
]


def __getattr__(name: str) -> Any:
    # The clients need ccxt, and its import takes a second. The exchange's name and capabilities do not need it.
    if name in ("Bybit", "AsyncBybit"):
        from . import market

        return getattr(market, name)
    if name in __all__:
        from . import orders

        return getattr(orders, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
