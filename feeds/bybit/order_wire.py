"""Orders in Bybit's request format, and the error codes that matter to orders alone."""

from typing import Any

from ..exchange.order_types import MarketOrder
from ..instruments import Instrument

__all__ = [
    "CLOCK",
    "DUPLICATE",
    "FORBIDDEN",
    "NOTHING_TO_REDUCE",
    "NOT_MODIFIED",
    "describe",
    "market_of",
    "order_body",
]

DUPLICATE = frozenset({110072, 170141})
"""The link id was used before: the order exists."""
NOT_MODIFIED = 110043
NOTHING_TO_REDUCE = 110017
CLOCK = 10002
FORBIDDEN = {
    10003: "the key is unknown here; a testnet key works on the testnet only",
    10004: "the signature is wrong: the secret does not belong to the key",
    10005: "the key lacks the permission to trade contracts",
    10007: "the account is not authenticated",
    10010: "the key does not allow requests from this IP address",
    10024: "the exchange's compliance rules do not allow this account to trade",
    10027: "the account is banned from trading",
    10028: "the account is no unified account",
    10029: "the key does not allow this symbol",
    33004: "the key has expired",
}
"""Why the key or the account may send no order at all, by error code."""


def market_of(instrument: Instrument) -> dict[str, Any]:
    """Return the request parameters that identify an instrument."""
    return {"category": instrument.category, "symbol": instrument.id}


def order_body(order: MarketOrder) -> dict[str, Any]:
    """Return the body of a create request."""
    return {
        **market_of(order.instrument),
        "side": order.side.capitalize(),
        "orderType": "Market",
        "qty": format(order.quantity, "f"),
        "reduceOnly": order.reduce_only,
        "orderLinkId": order.link_id,
        "positionIdx": 0,
    }


def describe(order: MarketOrder) -> str:
    """Return an order as text for the user."""
    return f"{order.side} {order.quantity} {order.instrument.symbol} ({order.link_id})"
