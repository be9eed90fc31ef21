"""Convert orders to Bybit's request format, and Bybit's rows to order states."""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from ..exchange.failures import Malformed
from ..exchange.order_types import MarketOrder, OrderState
from ..instruments import Instrument

__all__ = ["FINAL", "market_of", "number", "order_body", "order_state"]

FINAL = frozenset({"Filled", "Cancelled", "PartiallyFilledCanceled", "Rejected", "Deactivated"})
"""The status values of an order that cannot change any more."""


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


def order_state(row: Mapping[str, Any]) -> OrderState:
    """Return the order state of a row.

    Raises:
        Malformed: a quantity, price or fee is not a number.
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
    """Return the number in the field `name` of a row, 0 if the field is missing or empty.

    Raises:
        Malformed: the value is not a finite number.
    """
    text = row.get(name)
    try:
        value = Decimal(str(text or "0"))
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite():
        raise Malformed(f"expected a number as {name!r}, found {str(text)[:40]!r}")
    return value
