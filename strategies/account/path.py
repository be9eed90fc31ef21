"""The order of events in a bar: which orders fill at its open, and which are met on the way to an extreme.

Of a bar only open, high, low and close are known, not when the high and the low were traded. An order that can be
filled at the open is filled there. All others may be filled before or after an extreme: what is worse for the account
counts.
"""

from __future__ import annotations

from typing import Any

from backtrader.order import Order

from .holdings import Holding, equity_and_maintenance
from .margin_account import MarginAccount

__all__ = ["BarPath", "fills_at_open", "is_touched", "met_at", "rests_at"]

_STOPS = (Order.Stop, Order.StopTrail)
_STOP_LIMITS = (Order.StopLimit, Order.StopTrailLimit)


def fills_at_open(order: Any, opening: float) -> bool:
    """Return whether an order is filled at the open of a bar: the market is already at its price."""
    kind, created = order.exectype, order.created
    if kind == Order.Market or (order.triggered and kind in _STOPS):
        return True
    if kind == Order.Limit or (order.triggered and kind in _STOP_LIMITS):
        return _reaches_limit(order, opening, rests_at(order))
    if not _reaches_stop(order, opening, created.price):
        return False
    return kind in _STOPS or _reaches_limit(order, opening, created.pricelimit)


def is_touched(order: Any, opening: float, high: float, low: float) -> bool:
    """Return whether the range of a bar reaches an order that was not filled at the open."""
    best, worst = (low, high) if order.isbuy() else (high, low)
    if order.exectype == Order.Limit or (order.triggered and order.exectype in _STOP_LIMITS):
        return _reaches_limit(order, best, rests_at(order))
    return _reaches_stop(order, worst, order.created.price)


def rests_at(order: Any) -> float:
    """Return the price at which the order acts next: its limit or its stop price."""
    if order.triggered and order.exectype in _STOP_LIMITS:
        return float(order.created.pricelimit)
    return float(order.created.price)


def met_at(order: Any, start: float, end: float) -> float | None:
    """Return the price at which every path from `start` to `end` fills the order, None if some path does not."""
    down, price = end < start, rests_at(order)
    if not (end <= price < start if down else start < price <= end):
        return None
    if order.exectype == Order.Limit or (order.triggered and order.exectype in _STOP_LIMITS):
        return price if order.isbuy() is down else None
    if order.isbuy() is down:
        return None
    if order.exectype in _STOP_LIMITS:
        limit = order.created.pricelimit
        return price if (limit <= price if down else limit >= price) else None
    return price


def _reaches_limit(order: Any, price: float, limit: float) -> bool:
    return bool(price <= limit if order.isbuy() else price >= limit)


def _reaches_stop(order: Any, price: float, stop: float) -> bool:
    return bool(price >= stop if order.isbuy() else price <= stop)


class BarPath(MarginAccount):
    """Fill the orders that a bar reaches after its open, in the order that is worse for the account."""

    def _fill_in_bar(self, touched: list[Any]) -> None:
        """Fill the orders that the bar reaches after its open, in the order that is worse for the account."""
        while touched:
            order = self._next_touched(touched)
            if order is None:
                return  # the account is liquidated first
            touched.remove(order)
            if not order.alive() or order not in self.pending:
                continue  # its group or its bracket has ended
            holding = self._holdings[order.data]
            size = holding.position.size + order.executed.remsize
            worse = min if size > 0.0 else max
            if size:
                holding.mark = worse(holding.mark, holding.worth_of(rests_at(order)))
                if self._margins is not None:
                    self._margins.put(holding, holding.stake())
            self.pending.remove(order)
            self._try(order)

    def _next_touched(self, touched: list[Any]) -> Any:
        """Return the next order to fill; None if all that are left come after a liquidation at worst."""
        danger: dict[int, bool] = {}
        safe = []
        for order in touched:
            holding = self._holdings[order.data]
            pool = id(holding) if holding.isolated else 0
            if pool not in danger:
                danger[pool] = not self._survives(holding)
            if not danger[pool]:
                safe.append(order)
        return min(safe or self._surely_met(touched), key=self._badness, default=None)

    def _badness(self, order: Any) -> tuple[bool, bool, float]:
        """Return the rank of a touched order; the smallest is filled first.

        Below the open every path meets the orders from above, above the open from below. Of the two sides, that of the
        position's losses comes first; without a position, stops come before limits.
        """
        holding, price = self._holdings[order.data], rests_at(order)
        opening, size = holding.quote().open, holding.position.size
        gains = price > opening if size > 0.0 else price < opening if size < 0.0 else False
        return gains, not size and order.exectype == Order.Limit, abs(price / opening - 1.0)

    def _surely_met(self, touched: list[Any]) -> list[Any]:
        """Return the orders that every path to the liquidation meets before it."""
        met = []
        for order in touched:
            holding = self._holdings[order.data]
            if holding.marked or not holding.position.size:
                continue  # a mark price may move without the traded price
            quote = holding.quote()
            price = met_at(order, quote.open, quote.low if holding.position.size > 0 else quote.high)
            if price is not None and self._survives(holding, holding.worth_of(price)):
                met.append(order)
        return met

    def _survives(self, holding: Holding, worth: float | None = None) -> bool:
        """Return whether the margin pool of a holding survives the adverse extremes of the bar.

        With `worth`, this holding's price has only moved so far, all others of the pool to their extremes.
        """
        if holding.isolated:
            cash, group = holding.margin - holding.basis, [holding]
        else:
            cash = self.cash - self._reserved()
            group = [h for h in self._holdings.values() if not h.isolated]
        moved = [
            (h, worth if h is holding and worth is not None else h.adverse())
            for h in group
            if h.position.size
        ]
        if not moved:
            return True
        equity, need = equity_and_maintenance(cash, moved)
        return equity > need

    def _try(self, order: Any) -> None:
        self._try_exec(order)
        if order.alive():
            self.pending.append(order)
        elif order.status == Order.Completed:
            self._bracketize(order)
