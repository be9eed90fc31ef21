"""Everything that is Bybit's own: endpoints, parsing of its answers, market data clients and orders."""

from .endpoints import FUNDING_LIMIT, KLINE_LIMIT, OPEN_INTEREST_LIMIT
from .market import AsyncBybit, Bybit
from .orders import (
    HeldPosition,
    MarketOrder,
    OrderClient,
    OrderRejected,
    OrderState,
    OrderUnknown,
    PlacedOrder,
)
from .parse import Table, parse_klines, unite

__all__ = [
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
