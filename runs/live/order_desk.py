"""Real orders one by one: the journal records each before it is sent, and its outcome afterwards.

An order is *open* until its outcome is certain, and meanwhile no other order of its symbol is sent. Its age is
monotonic; across a restart it is the exchange's time. The machine's wall clock is only a label in the journal.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from feeds import ExchangeError
from feeds.exchange.order_types import (
    MarketOrder,
    NothingToReduce,
    OrderRejected,
    Orders,
    OrdersForbidden,
    OrderState,
    OrderUnknown,
    UnreadableAnswer,
)
from feeds.instruments import Instrument
from scorenet.base.times import wall_ms

from .journal import Journal
from .order_plan import OpenOrder, Plan, link_id, recorded_order
from .status import LiveStatus

__all__ = ["OrderDesk"]

_ZERO = Decimal(0)
_LOOK_BACK = 5
_LONGEST_CREATE = 120.0  # seconds that all requests for one order take


class OrderDesk:
    """Send orders, resolve their outcomes, and keep the positions that follow from them.

    Attributes:
        expected: positions by the journal, in signed base units by symbol.
        close: close time (UTC ms) of the bar that orders are sent for.
        refused: symbols of which the exchange has refused the last order.
        adopted_until: by symbol, the time (UTC ms) up to which an adopted position contains all executions.
    """

    def __init__(
        self,
        client: Orders,
        instruments: Mapping[str, Instrument],
        journal: Journal,
        status: LiveStatus,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client, self._instruments = client, dict(instruments)
        self._journal, self._status, self._monotonic = journal, status, monotonic
        header = next(iter(journal.records("start")))
        self.run = str(header["run"])
        self.close = int(header["trade_from"])
        self.expected = dict.fromkeys(self._instruments, _ZERO)
        self._parts: dict[tuple[str, int], int] = {}
        self._open: dict[str, OpenOrder] = {}
        self._gone: dict[str, dict[str, MarketOrder]] = {symbol: {} for symbol in self._instruments}
        self.refused: set[str] = set()
        self._last = dict.fromkeys(self._instruments, -math.inf)
        self.adopted_until = dict.fromkeys(self._instruments, 0)

    def restore(self) -> None:
        """Restore positions and open orders from the journal, and forget all others."""
        self.expected = dict.fromkeys(self._instruments, _ZERO)
        self._open.clear()
        records = list(self._journal.records("intent", "outcome", "adopted"))
        now = self._client.now() if records else 0
        for record in records:
            self._restore(record, now)

    def _restore(self, record: Mapping[str, Any], now: int) -> None:
        symbol = record["symbol"]
        if record["kind"] == "adopted":
            self.expected[symbol] = Decimal(record["size"])
            self.adopted_until[symbol] = int(record.get("executions_until", 0))
        elif record["kind"] == "intent":
            self._parts[symbol, record["close"]] = record["part"] + 1
            self.close = max(self.close, record["close"])
            # A journal of an earlier version has no exchange time, so the order may have been sent just now.
            age = max(now - int(record.get("sent", now)), 0) / 1000.0
            self._last[symbol] = self._monotonic() - age
            order = recorded_order(record, self._instruments[symbol])
            self._forget_refused(symbol)
            # The last of several requests for it may be much younger than the record.
            self._open[order.link_id] = OpenOrder(order, self._monotonic())
        else:
            self._restore_outcome(record)

    def _restore_outcome(self, record: Mapping[str, Any]) -> None:
        symbol, link = record["symbol"], record["link_id"]
        self.expected[symbol] += Decimal(record["filled"])
        if link in self._gone[symbol]:
            # A later lookup has found an order that had counted as refused or absent.
            order = self._gone[symbol].pop(link)
            self._open.setdefault(link, OpenOrder(order, self._monotonic()))
        if link not in self._open:
            return
        entry = self._open[link]
        # The create request ended before its outcome was recorded, at most this long after the intent.
        entry.sent = min(entry.sent, self._last[symbol] + _LONGEST_CREATE)
        entry.taken = entry.taken or bool(record.get("taken"))
        entry.refused = record["status"] == "refused" and record.get("code") is not None
        if record["status"] != "unknown" and not entry.refused:
            del self._open[link]
        if record["status"] in ("refused", "absent"):
            self._note_gone(entry.order)

    def _note_gone(self, order: MarketOrder) -> None:
        gone = self._gone[order.instrument.symbol]
        gone[order.link_id] = order
        if len(gone) > _LOOK_BACK:
            del gone[next(iter(gone))]

    def _forget_refused(self, symbol: str) -> None:
        """Before an order is sent, all earlier ones were settled."""
        for link, entry in list(self._open.items()):
            if entry.refused and entry.order.instrument.symbol == symbol:
                del self._open[link]

    def age(self, symbol: str) -> float:
        """Return the seconds since the last order of a symbol was sent or found; infinite if there was none."""
        return self._monotonic() - self._last[symbol]

    def waiting(self) -> dict[str, float]:
        """Return, by symbol, the age in seconds of its oldest order whose outcome is not known."""
        ages: dict[str, float] = {}
        for entry in self._open.values():
            if not entry.refused:
                symbol, age = entry.order.instrument.symbol, self._monotonic() - entry.sent
                ages[symbol] = max(age, ages.get(symbol, 0.0))
        return ages

    def settle(self, symbol: str) -> None:
        """Find out the outcome of every open order of a symbol.

        Raises:
            OrderUnknown: it is not certain yet, or the order can still be filled.
            UnreadableAnswer: the exchange's answers about an order stay invalid.
        """
        for entry in [e for e in self._open.values() if e.order.instrument.symbol == symbol]:
            self._settle(entry)

    def explain(self, symbol: str) -> bool:
        """Look up the last orders that counted as refused or absent; return whether one of them exists after all.

        Raises:
            OrderUnknown: one exists and can still be filled.
        """
        found = False
        for order in list(self._gone[symbol].values()):
            state = self._client.settle(order, -math.inf)
            if state is not None:
                self._apply_final(order, state)
                found = True
        return found

    def send(self, symbol: str, plan: Plan) -> bool:
        """Send one order, once; return whether it was filled completely.

        Raises:
            OrdersForbidden, NothingToReduce: as named.
            ExchangeError: the order was not sent; the journal records it as refused.
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
        sent = self._client.now()
        self._journal.append(
            "intent",
            at=wall_ms(),
            sent=sent,
            close=self.close,
            part=part,
            symbol=symbol,
            side=order.side,
            quantity=str(order.quantity),
            reduce_only=order.reduce_only,
            link_id=order.link_id,
        )
        self._last[symbol] = self._monotonic()
        entry = self._open[order.link_id] = OpenOrder(order, self._last[symbol])
        try:
            state = self._client.create(order)
        except OrderRejected as error:
            final = isinstance(error, OrdersForbidden | NothingToReduce)
            entry.refused = error.code is not None and not final
            self.refused.add(symbol)
            self._dismiss(entry, "refused", reason=str(error), code=error.code)
            if final:
                raise
            return False
        except OrderUnknown as error:
            self._note_unknown(entry, error)
            return False
        except ExchangeError as error:
            # Only errors before the order was sent; all others are one of the two above.
            self._dismiss(entry, "refused", reason=str(error))
            raise
        finally:
            # A lookup may lag behind the last of several requests for the same order.
            entry.sent = self._last[symbol] = self._monotonic()
        return self._apply(order, state)

    def _settle(self, entry: OpenOrder) -> None:
        try:
            state = self._client.settle(entry.order, entry.sent, entry.taken)
        except OrderUnknown as error:
            if entry.refused and not error.taken:
                raise OrderUnknown(
                    f"{entry.order.link_id} was refused; it is looked up before another order is sent"
                ) from error
            if error.taken and not entry.taken:
                self._note_unknown(entry, error)
            _raise_unreadable(error)
            raise
        if state is not None:
            self._apply_final(entry.order, state)
        elif entry.refused:
            del self._open[entry.order.link_id]
        else:
            self._dismiss(entry, "absent")

    def _note_unknown(self, entry: OpenOrder, error: OrderUnknown) -> None:
        entry.taken, entry.refused = entry.taken or error.taken, False
        self._record_outcome(entry.order, "unknown", _ZERO, reason=str(error), taken=entry.taken)
        _raise_unreadable(error)

    def _dismiss(self, entry: OpenOrder, status: str, **more: Any) -> None:
        """Record that an order does not exist; a refused one stays open until a lookup has agreed."""
        self._note_gone(entry.order)
        if not entry.refused:
            del self._open[entry.order.link_id]
        self._record_outcome(entry.order, status, _ZERO, **more)

    def _apply_final(self, order: MarketOrder, state: OrderState) -> None:
        self._apply(order, state)
        if not state.final:
            raise OrderUnknown(f"{order.link_id} is still {state.status} and can be filled", True)

    def _apply(self, order: MarketOrder, state: OrderState) -> bool:
        symbol = order.instrument.symbol
        self._gone[symbol].pop(order.link_id, None)
        if not state.final:
            before = self._open.get(order.link_id)
            self._open[order.link_id] = OpenOrder(
                order, before.sent if before else self._monotonic(), taken=True
            )
            if before is None or not before.taken:
                self._record_outcome(order, "unknown", _ZERO, reason=f"still {state.status}", taken=True)
            return False
        self._open.pop(order.link_id, None)
        filled = state.filled if order.side == "buy" else -state.filled
        self.expected[symbol] += filled
        self._last[symbol] = self._monotonic()
        price, fee = (None if value is None else str(value) for value in (state.price, state.fee))
        self._record_outcome(order, state.status, filled, price=price, fee=fee, order_id=state.order_id)
        return state.filled == order.quantity

    def _record_outcome(self, order: MarketOrder, status: str, filled: Decimal, **more: Any) -> None:
        self._journal.append(
            "outcome",
            at=wall_ms(),
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

    def adopt(self, symbol: str, held: Decimal, until: int = 0) -> None:
        """Record the position on the exchange (signed base units) as the expected one.

        It contains all executions up to `until` (UTC ms).
        """
        self._journal.append("adopted", at=wall_ms(), symbol=symbol, size=str(held), executions_until=until)
        self.expected[symbol], self.adopted_until[symbol] = held, until


def _raise_unreadable(error: OrderUnknown) -> None:
    if isinstance(error.__cause__, UnreadableAnswer):
        raise error.__cause__
