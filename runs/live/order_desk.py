"""Real orders one by one: the journal records each before it is sent, and its outcome afterwards."""

from __future__ import annotations

import time
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from feeds import ExchangeError
from feeds.exchange.order_types import (
    MarketOrder,
    OrderRejected,
    Orders,
    OrderState,
    OrderUnknown,
)
from feeds.instruments import Instrument

from .journal import Journal
from .order_plan import Plan, link_id
from .status import LiveStatus

__all__ = ["OrderDesk"]

_ZERO = Decimal(0)


class OrderDesk:
    """Send orders, resolve their outcomes, and keep the positions that follow from them.

    Attributes:
        expected: positions by the journal, in signed base units by symbol.
        close: close time (UTC ms) of the bar that orders are sent for.
    """

    def __init__(
        self, client: Orders, instruments: Mapping[str, Instrument], journal: Journal, status: LiveStatus
    ) -> None:
        self._client, self._instruments = client, dict(instruments)
        self._journal, self._status = journal, status
        header = next(iter(journal.records("start")))
        self.run = str(header["run"])
        self.close = int(header["trade_from"])
        self.expected = dict.fromkeys(self._instruments, _ZERO)
        self._parts: dict[tuple[str, int], int] = {}
        self._unknown: dict[str, MarketOrder] = {}
        self._sent: dict[str, int] = {}

    def restore(self) -> None:
        """Restore positions and unresolved orders from the journal."""
        for record in self._journal.records("intent", "outcome", "adopted"):
            self._restore(record)

    def _restore(self, record: Mapping[str, Any]) -> None:
        symbol = record["symbol"]
        if record["kind"] == "adopted":
            self.expected[symbol] = Decimal(record["size"])
        elif record["kind"] == "intent":
            self._parts[symbol, record["close"]] = record["part"] + 1
            self.close = max(self.close, record["close"])
            self._sent[record["link_id"]] = record["at"]
            self._unknown[record["link_id"]] = MarketOrder(
                instrument=self._instruments[symbol],
                side=record["side"],
                quantity=Decimal(record["quantity"]),
                link_id=record["link_id"],
                reduce_only=record["reduce_only"],
            )
        else:
            if record["status"] != "unknown":
                self._unknown.pop(record["link_id"], None)
            self.expected[symbol] += Decimal(record["filled"])

    def settle(self, symbol: str) -> None:
        """Resolve every order of a symbol whose outcome is unknown.

        Raises:
            OrderUnknown: the exchange does not know the outcome yet.
        """
        for order in [o for o in self._unknown.values() if o.instrument.symbol == symbol]:
            self._settle(order)

    def send(self, symbol: str, plan: Plan) -> bool:
        """Send one order, once; return whether it was filled completely.

        Raises:
            ExchangeError: the exchange did not take the order; the journal records it as refused.
        """
        part = self._parts.get((symbol, self.close), 0)
        self._parts[symbol, self.close] = part + 1
        order = MarketOrder(
            instrument=self._instruments[symbol],
            side="buy" if plan.size > 0 else "sell",
            quantity=abs(plan.size),
            link_id=link_id(self.run, self.close, symbol, part),
            reduce_only=plan.reduce_only,
        )
        self._sent[order.link_id] = _wall_ms()
        self._journal.append(
            "intent",
            at=self._sent[order.link_id],
            close=self.close,
            part=part,
            symbol=symbol,
            side=order.side,
            quantity=str(order.quantity),
            reduce_only=order.reduce_only,
            link_id=order.link_id,
        )
        try:
            state = self._client.create(order)
        except OrderRejected as error:
            self._record_outcome(order, "refused", _ZERO, reason=str(error), code=error.code)
            return False
        except OrderUnknown as error:
            self._unknown[order.link_id] = order
            self._record_outcome(order, "unknown", _ZERO, reason=str(error))
            return False
        except ExchangeError as error:
            self._record_outcome(order, "refused", _ZERO, reason=str(error))
            raise
        return self._apply(order, state)

    def _settle(self, order: MarketOrder) -> None:
        age = (_wall_ms() - self._sent[order.link_id]) / 1000.0
        state = self._client.settle(order, time.monotonic() - max(age, 0.0))
        if state is not None:
            self._apply(order, state)
            return
        self._unknown.pop(order.link_id)
        self._record_outcome(order, "absent", _ZERO)

    def _apply(self, order: MarketOrder, state: OrderState) -> bool:
        if not state.final:
            self._unknown[order.link_id] = order
            self._record_outcome(order, "unknown", _ZERO, reason=f"still {state.status}")
            return False
        self._unknown.pop(order.link_id, None)
        filled = state.filled if order.side == "buy" else -state.filled
        self.expected[order.instrument.symbol] += filled
        price = None if state.price is None else str(state.price)
        self._record_outcome(
            order, state.status, filled, price=price, fee=str(state.fee), order_id=state.order_id
        )
        return state.filled == order.quantity

    def _record_outcome(self, order: MarketOrder, status: str, filled: Decimal, **more: Any) -> None:
        self._journal.append(
            "outcome",
            at=_wall_ms(),
            symbol=order.instrument.symbol,
            link_id=order.link_id,
            status=status,
            filled=str(filled),
            **more,
        )
        price = f" at {more['price']}" if more.get("price") else ""
        reason = f": {more['reason']}" if more.get("reason") else ""
        text = f"real {order.side} {order.quantity} {order.instrument.symbol}  {status} {filled:+f}{price}{reason}"
        self._status.say(text)

    def adopt(self, symbol: str, held: Decimal) -> None:
        """Record the position on the exchange (signed base units) as the expected one."""
        self._journal.append("adopted", at=_wall_ms(), symbol=symbol, size=str(held))
        self.expected[symbol] = held


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000
