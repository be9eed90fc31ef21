"""Read private answers strictly: what does not have the documented form and the right identity is no answer.

A field that is missing, empty, of another type or outside its range raises `Malformed`, and so does a row of another
market or order. No field has a default: a broken answer must never become another number.
"""

import math
import re
from collections.abc import Callable, Collection, Hashable, Mapping
from decimal import Decimal
from typing import Any

from ..exchange.failures import Malformed
from ..exchange.order_types import Execution, HeldPosition, MarketOrder, OrderState, PlacedOrder
from ..instruments import Instrument

__all__ = [
    "CLOSED",
    "HedgeMode",
    "Row",
    "cancelled",
    "created",
    "equity",
    "executions",
    "margin_mode",
    "open_counts",
    "order_of",
    "placed_orders",
    "position",
    "positions",
    "rows_of",
]

CLOSED = frozenset({"Filled", "Cancelled", "PartiallyFilledCanceled", "Rejected", "Deactivated"})
"""The status values of an order that cannot change any more."""

Row = Mapping[str, Any]

_OPEN = frozenset({"Created", "New", "PartiallyFilled", "Untriggered", "Triggered", "Active"})
_NUMBER = re.compile(r"[+-]?[0-9]{1,40}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,2})?")
_NAME = re.compile(r"[\x21-\x7e]{1,64}")
_TIME = re.compile(r"[0-9]{10,15}")
_SIDES = {"Buy": 1, "Sell": -1}
# Payments of funding are listed as executions, but they change no position.
_NO_FILLS = frozenset({"Funding"})
_MARGIN_MODES = {"REGULAR_MARGIN": "cross", "ISOLATED_MARGIN": "isolated", "PORTFOLIO_MARGIN": "portfolio"}


class HedgeMode(Exception):
    """The account holds separate long and short positions."""


# Fields -----------------------------------------------------------------------------------------------------------


def _number(row: Row, name: str, least: float = -math.inf) -> Decimal:
    found = row.get(name)
    text = found if isinstance(found, str) else repr(found) if type(found) in (int, float) else ""
    if not _NUMBER.fullmatch(text):
        raise Malformed(f"expected a number as {name!r}, found {str(found)[:40]!r}")
    value = Decimal(text)
    if value < least:
        raise Malformed(f"expected {name!r} >= {least:g}, found {str(found)[:40]!r}")
    return value


def _positive(row: Row, name: str) -> Decimal:
    value = _number(row, name)
    if value <= 0:
        raise Malformed(f"expected {name!r} > 0, found {value}")
    return value


def _name(row: Row, name: str) -> str:
    found = row.get(name)
    if not isinstance(found, str) or not _NAME.fullmatch(found):
        raise Malformed(f"expected a text as {name!r}, found {str(found)[:40]!r}")
    return found


def _one_of(row: Row, name: str, allowed: Collection[str]) -> str:
    found = row.get(name)
    if not isinstance(found, str) or found not in allowed:
        raise Malformed(
            f"expected {name!r} to be one of {', '.join(sorted(allowed))}, found {str(found)[:40]!r}"
        )
    return found


def _is(row: Row, name: str, expected: str) -> None:
    if row.get(name) != expected:
        raise Malformed(f"expected {name!r} {expected!r}, found {str(row.get(name))[:40]!r}")


def _link(row: Row) -> str:
    # Orders that were not sent with a link id have an empty one.
    return "" if row.get("orderLinkId") == "" else _name(row, "orderLinkId")


def rows_of(result: Row, name: str = "list") -> list[Row]:
    """Return the rows of a result.

    Raises:
        Malformed: there is no list of objects.
    """
    rows = result.get(name)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise Malformed(f"expected a list of rows, found {str(rows)[:80]!r}")
    return rows


def _only(rows: list[Row], what: str) -> Row:
    if len(rows) != 1:
        raise Malformed(f"expected one row of {what}, found {len(rows)}")
    return rows[0]


def _unrepeated(rows: list[Row], key: Callable[[Row], Hashable]) -> None:
    keys = [key(row) for row in rows]
    if len(set(keys)) < len(keys):
        raise Malformed("expected each row once, found one twice")


# Account ----------------------------------------------------------------------------------------------------------


def equity(result: Row) -> Decimal:
    """Return the USDT equity in the answer about the wallet of a unified account."""
    account = _only(rows_of(result), "the account")
    _is(account, "accountType", "UNIFIED")
    coin = _only([coin for coin in rows_of(account, "coin") if coin.get("coin") == "USDT"], "USDT")
    return _number(coin, "equity", 0)


def margin_mode(result: Row) -> str:
    """Return "cross", "isolated" or "portfolio"."""
    return _MARGIN_MODES[_one_of(result, "marginMode", _MARGIN_MODES)]


def position(result: Row, instrument: Instrument) -> HeldPosition:
    """Return the position in an instrument from the answer about this instrument, which has a row even for size 0.

    Raises:
        HedgeMode: the account holds separate long and short positions.
    """
    rows = rows_of(result)
    for row in rows:
        _is(row, "symbol", instrument.id)
        if _number(row, "positionIdx") in (1, 2):
            raise HedgeMode
    return _held(_only(rows, f"the position in {instrument.id}"))


def positions(rows: list[Row]) -> dict[str, Decimal]:
    """Return the positions of all instruments, signed base units by symbol id; hedged ones are netted."""
    found: dict[str, Decimal] = {}
    _unrepeated(rows, lambda row: (_name(row, "symbol"), _number(row, "positionIdx")))
    for row in rows:
        name, size = _name(row, "symbol"), _held(row, hedged=True).size
        found[name] = found.get(name, Decimal(0)) + size
    return {name: size for name, size in found.items() if size}


def _held(row: Row, hedged: bool = False) -> HeldPosition:
    if _number(row, "positionIdx") not in ((0, 1, 2) if hedged else (0,)):
        raise Malformed(f"expected a 'positionIdx' of 0, found {str(row.get('positionIdx'))[:40]!r}")
    size, leverage = _number(row, "size", 0), None
    if row.get("leverage") not in (None, ""):
        leverage = _number(row, "leverage", 0)
    if not size:
        # A side contradicts a size of 0.
        _one_of(row, "side", ("", "None", "Buy", "Sell") if hedged else ("", "None"))
        return HeldPosition(size=size, price=Decimal(0), leverage=leverage)
    sign = _SIDES[_one_of(row, "side", _SIDES)]
    return HeldPosition(size=sign * size, price=_positive(row, "avgPrice"), leverage=leverage)


# Orders -----------------------------------------------------------------------------------------------------------


def created(result: Row, order: MarketOrder) -> str:
    """Return the exchange's id of an order from the answer to its create request."""
    _is(result, "orderLinkId", order.link_id)
    return _name(result, "orderId")


def cancelled(result: Row) -> None:
    """Check the answer to a cancellation of all orders of an instrument."""
    for row in rows_of(result):
        _name(row, "orderId")
    if result.get("success") not in (None, "", "1"):
        raise Malformed(f"expected a successful cancellation, found {str(result.get('success'))[:40]!r}")


def order_of(result: Row, order: MarketOrder) -> OrderState | None:
    """Return the state of an order from the answer to a lookup of its link id, None if the answer has no row."""
    rows = rows_of(result)
    if not rows:
        return None
    row = _only(rows, f"the order {order.link_id}")
    _is(row, "orderLinkId", order.link_id)
    _is(row, "symbol", order.instrument.id)
    _is(row, "side", order.side.capitalize())
    quantity, filled = _positive(row, "qty"), _number(row, "cumExecQty", 0)
    status = _one_of(row, "orderStatus", CLOSED | _OPEN)
    if quantity > order.quantity or filled > quantity:
        raise Malformed(
            f"expected at most {order.quantity} ordered and filled, found {quantity} ordered, {filled} filled"
        )
    # An exchange may cut a reduce-only order to the size of the position.
    whole = filled == quantity or (order.reduce_only and filled > 0)
    possible = {
        "Filled": whole,
        "PartiallyFilled": filled > 0,
        "PartiallyFilledCanceled": filled > 0,
        "Created": not filled,
        "New": not filled,
        "Rejected": not filled,
    }
    if not possible.get(status, True):
        raise Malformed(f"an order of {quantity} is {status!r}, but {filled} is filled")
    return OrderState(
        link_id=order.link_id,
        order_id=_name(row, "orderId"),
        status=status,
        filled=filled,
        price=_positive(row, "avgPrice") if filled else None,
        fee=_fee(row) if filled else Decimal(0),
        final=status in CLOSED,
    )


def _fee(row: Row) -> Decimal | None:
    """Return the fee of an order in USDT, None if it was paid in another coin."""
    coins = row.get("cumFeeDetail")
    if isinstance(coins, dict) and coins:
        paid = {coin: _number(coins, coin, 0) for coin in coins}
        return paid["USDT"] if list(paid) == ["USDT"] else None
    return _number(row, "cumExecFee", 0)


def placed_orders(rows: list[Row], instrument: Instrument) -> list[PlacedOrder]:
    """Return the orders of an instrument that are open."""
    found = []
    for row in rows:
        _is(row, "symbol", instrument.id)
        if _one_of(row, "orderStatus", CLOSED | _OPEN) in CLOSED:
            continue
        placed = PlacedOrder(
            order_id=_name(row, "orderId"),
            link_id=_link(row),
            side=_one_of(row, "side", _SIDES).lower(),
            # An order that closes a whole position has the quantity 0.
            quantity=_number(row, "qty", 0),
        )
        found.append(placed)
    return found


def open_counts(rows: list[Row]) -> dict[str, int]:
    """Return the number of open orders by symbol id."""
    counts: dict[str, int] = {}
    for row in rows:
        name = _name(row, "symbol")
        if _one_of(row, "orderStatus", CLOSED | _OPEN) not in CLOSED:
            counts[name] = counts.get(name, 0) + 1
    return counts


def _in_usdt(row: Row) -> bool:
    return row.get("feeCurrency") in (None, "", "USDT")


def executions(rows: list[Row], instrument: Instrument, link_id: str) -> list[Execution]:
    """Return the fills of an instrument, newest first; with a `link_id`, those of one order."""
    found = []
    _unrepeated(rows, lambda row: _name(row, "execId"))
    for row in rows:
        _is(row, "symbol", instrument.id)
        if link_id:
            _is(row, "orderLinkId", link_id)
        if row.get("execType", "Trade") in _NO_FILLS:
            continue
        sign, stamp = _SIDES[_one_of(row, "side", _SIDES)], str(row.get("execTime"))
        if not _TIME.fullmatch(stamp):
            raise Malformed(f"expected a time in ms as 'execTime', found {stamp[:40]!r}")
        fill = Execution(
            link_id=_link(row),
            order_id=_name(row, "orderId"),
            size=sign * _positive(row, "execQty"),
            price=_positive(row, "execPrice"),
            # A fill of another order may have earned a rebate.
            fee=_number(row, "execFee", 0 if link_id else -math.inf) if _in_usdt(row) else None,
            time=int(stamp),
        )
        found.append(fill)
    return sorted(found, key=lambda fill: -fill.time)
