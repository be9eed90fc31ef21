"""Orders as the exchange writes them: what is sent, and what its rows say."""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from ..exchange.failures import Malformed
from ..exchange.order_types import MarketOrder, OrderState
from ..instruments import Instrument

__all__ = ["FINAL", "market_of", "number", "order_body", "order_state"]

FINAL = frozenset({"Filled", "Cancelled", "PartiallyFilledCanceled", "Rejected", "Deactivated"})
"""What an order's status is when it is over."""


def market_of(instrument: Instrument) -> dict[str, Any]:
    """Return how a request names an instrument."""
    return {"category": instrument.category, "symbol": instrument.id}


def order_body(order: MarketOrder) -> dict[str, Any]:
    """Return the body of a create."""
    return {
        **market_of(order.instrument),
        "side": order.side.capitalize(),
        "orderType": "Market",
        "qty": format(order.quantity, "f"),
        "reduceOnly": order.reduce_only,
        "orderLinkId": order.link_id,
        "positionIdx": 0,
    }


def order_state(row: Mapping[str, Any]) -> OrderState:
    """Return what a row says of an order.

    Raises:
        Malformed: a number is none.
    """
    status, filled = str(row.get("orderStatus")), number(row, "cumExecQty")
    return OrderState(
        link_id=str(row.get("orderLinkId")),
        order_id=str(row.get("orderId")),
        status=status,
        filled=filled,
        price=number(row, "avgPrice") if filled else None,
        fee=number(row, "cumExecFee"),
        final=status in FINAL,
    )


def number(row: Mapping[str, Any], name: str) -> Decimal:
    """Return a number of a row, 0 where it is left out.

    Raises:
        Malformed: it is none.
    """
    text = row.get(name)
    try:
        value = Decimal(str(text or "0"))
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite():
        raise Malformed(f"expected a number as {name!r}, found {str(text)[:40]!r}")
    return value
