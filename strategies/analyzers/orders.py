"""Analyzers of orders and funding payments."""

from __future__ import annotations

from array import array
from typing import Any

import backtrader as bt
import numpy as np

from ..account.contracts import contract_value
from ..account.fill_price import had_to_wait
from ..account.perpetual import FundingLedger, PerpetualCommission
from ..datas import symbol_of, to_milliseconds

__all__ = ["Funding", "Orders", "fill_fee", "funding_ledgers", "is_forced", "is_maker", "reference_price"]

_STATUS = {
    bt.Order.Completed: "completed",
    bt.Order.Margin: "margin",
    bt.Order.Rejected: "rejected",
    bt.Order.Canceled: "canceled",
    bt.Order.Expired: "expired",
}
_OPEN = "open"


def fill_fee(order: Any, fill: Any, broker: Any) -> float:
    """Return the fee of one fill (quote currency) without interest, which Backtrader's stock broker adds to fees."""
    if not getattr(broker.p, "int2pnl", False):
        return float(fill.comm)
    charge = order.comminfo.getcommission
    return float(charge(fill.closed, fill.price) + charge(fill.opened, fill.price))


def funding_ledgers(strategy: Any) -> dict[str, FundingLedger]:
    """Return the funding ledger of each symbol of `strategy`, with the payments of this run only."""
    ledgers = {}
    for data in strategy.datas:
        commission = strategy.broker.getcommissioninfo(data)
        if isinstance(commission, PerpetualCommission):
            commission.begin_run(strategy.cerebro.runningstrats)
            ledgers[symbol_of(data)] = commission.ledger
    return ledgers


def is_forced(order: Any) -> bool:
    """Return whether the account sent the order itself: a liquidation, or the settlement of a market that has ended."""
    return bool(order.info.get("liquidation", False) or order.info.get("settlement", False))


def is_maker(order: Any, fill: Any) -> bool:
    """Return whether a fill paid the maker fee."""
    commission = order.comminfo
    if not isinstance(commission, PerpetualCommission) or order.exectype != bt.Order.Limit:
        return False
    maker, taker = (commission.fee(fill.size, fill.price, maker=kind) for kind in (True, False))
    if maker == taker:
        return had_to_wait(order, order.data.open[0])
    return abs(float(fill.comm) - maker) < abs(float(fill.comm) - taker)


def reference_price(order: Any, fill: Any, *, first: bool) -> float:
    """Return the price of a fill without slippage, as `Orders` describes it; `first`: the order had no fill before."""
    opening = order.data.open[0]
    if is_forced(order):
        return float(fill.price)
    if order.exectype == bt.Order.Market:
        return float(opening)
    if order.exectype in (bt.Order.Stop, bt.Order.StopTrail):
        stop = order.created.price
        side = 1.0 if order.isbuy() else -1.0
        # A stop that was met but not wholly filled, for lack of volume, is a market order from the next bar on.
        if not first or (fill.price - stop) * side < 0.0:
            return float(opening)
        return float(max(opening, stop) if side > 0.0 else min(opening, stop))
    return float(fill.price)


class _Fills:
    """The sums over the fills of one order; `reference` is the sum of size * reference price."""

    __slots__ = ("fee", "order", "reference", "slippage", "value")

    def __init__(self) -> None:
        self.fee = self.reference = self.slippage = self.value = 0.0
        self.order: Any = None


class Orders(bt.Analyzer):
    """Return columns [N], one row per ended order, sorted by the end of the order.

    `time` (bar close of the last fill or of the rejection, UTC ms), `decided` (bar close of the decision, UTC ms),
    `symbol`, `side`, `size` (executed, signed base units), `requested` (signed base units), `price` (average of the
    fills, NaN without one), `reference_price` (open of the bar of the fill), `value` (traded, quote currency), `fee`
    and `slippage` (quote currency, costs are positive), `status` (completed, margin, rejected, canceled, expired,
    open), `liquidation` and `settlement` (bool: sent by the account itself). An order of any status may be filled in
    part: `size` is what was filled.

    Slippage is |size| * |price - reference_price|, times the contract's multiplier. The reference price of a stop order
    is its trigger price, or the open if the bar opened beyond the trigger. Limit orders, liquidations and settlements
    have no slippage: their reference price is their fill price. Funding is not part of a fee. An order that has not
    ended with the run has a row, of status `open`, only if a part of it was filled.
    """

    def start(self) -> None:
        """Start without orders."""
        self._numbers = {
            name: array("d")
            for name in (
                "time",
                "decided",
                "size",
                "requested",
                "price",
                "reference_price",
                "value",
                "fee",
                "slippage",
            )
        }
        self._words: dict[str, list[Any]] = {
            name: [] for name in ("symbol", "side", "status", "liquidation", "settlement")
        }
        self._partial: dict[int, _Fills] = {}

    def notify_order(self, order: Any) -> None:
        """Sum the fills of an order and add its row when it ends."""
        fills = self._partial.pop(order.ref, None) or _Fills()
        for fill in order.executed.iterpending():
            reference = reference_price(order, fill, first=not fills.value)
            fills.fee += fill_fee(order, fill, self.strategy.broker)
            fills.reference += fill.size * reference
            fills.value += abs(contract_value(order.comminfo, fill.size, fill.price))
            fills.slippage += float(order.comminfo.profitandloss(fill.size, reference, fill.price))
        status = _STATUS.get(order.status)
        # If a partly filled order lacks margin, Backtrader sends two notices: the fill (Partial), then the rejection.
        if status is None:
            fills.order = order
            self._partial[order.ref] = fills
        else:
            self._write(order, status, fills)

    def stop(self) -> None:
        """Add the orders that were filled in part and are still open."""
        for fills in self._partial.values():
            if fills.order.executed.size:
                self._write(fills.order, _OPEN, fills)
        self._partial.clear()

    def _write(self, order: Any, status: str, fills: _Fills) -> None:
        executed = order.executed
        size = executed.size
        row = {
            "time": executed.dt if executed.dt is not None else self.strategy.lines.datetime[0],
            "decided": order.created.dt,
            "size": size,
            "requested": order.created.size,
            "price": executed.price if size else np.nan,
            "reference_price": fills.reference / size if size else np.nan,
            "value": fills.value,
            "fee": fills.fee,
            "slippage": fills.slippage,
        }
        for name, value in row.items():
            self._numbers[name].append(value)
        self._words["symbol"].append(symbol_of(order.data))
        self._words["side"].append("buy" if order.isbuy() else "sell")
        self._words["status"].append(status)
        for name in ("liquidation", "settlement"):
            self._words[name].append(bool(order.info.get(name, False)))

    def get_analysis(self) -> dict[str, Any]:
        """Return the columns, each [N]."""
        numbers = {name: np.array(column) for name, column in self._numbers.items()}
        return {
            "time": to_milliseconds(numbers.pop("time")),
            "decided": to_milliseconds(numbers.pop("decided")),
            "symbol": list(self._words["symbol"]),
            "side": list(self._words["side"]),
            **numbers,
            "status": list(self._words["status"]),
            **{name: np.array(self._words[name], dtype=bool) for name in ("liquidation", "settlement")},
        }


class Funding(bt.Analyzer):
    """Return the columns [N] of `FundingLedger.columns` for the account, one row per payment, sorted by time.

    `time` (close of the bar, UTC ms), `symbol`, `rate` (fraction), `position` (base units), `price`, `amount` (quote
    currency, positive = paid). Empty without a `PerpetualCommission`.
    """

    def start(self) -> None:
        """Remove the payments of an earlier run."""
        self.rets = FundingLedger().columns()
        funding_ledgers(self.strategy)

    def stop(self) -> None:
        """Collect the payments."""
        ledgers = {id(ledger): ledger for ledger in funding_ledgers(self.strategy).values()}
        tables = [ledger.columns() for ledger in ledgers.values()]
        if not tables:
            return
        order = np.argsort(np.concatenate([table["time"] for table in tables]), kind="stable")
        for name in self.rets:
            column = np.concatenate([np.asarray(table[name]) for table in tables])[order]
            self.rets[name] = column.tolist() if name == "symbol" else column
