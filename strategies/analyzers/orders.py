"""Analyzers of what was sent and paid: orders and funding."""

from __future__ import annotations

from array import array
from typing import Any

import backtrader as bt
import numpy as np

from ..account.perpetual import FundingLedger, PerpetualCommission
from ..datas import symbol_of, to_milliseconds

__all__ = ["Funding", "Orders", "fill_fee", "funding_ledgers"]

_STATUS = {
    bt.Order.Completed: "completed",
    bt.Order.Margin: "margin",
    bt.Order.Rejected: "rejected",
    bt.Order.Canceled: "canceled",
    bt.Order.Expired: "expired",
}


def fill_fee(order: Any, fill: Any, broker: Any) -> float:
    """Return the fee of one fill (quote currency), without the interest that the stock broker adds to it."""
    if not getattr(broker.p, "int2pnl", False):
        return float(fill.comm)
    charge = order.comminfo.getcommission
    return float(charge(fill.closed, fill.price) + charge(fill.opened, fill.price))


def funding_ledgers(strategy: Any) -> dict[str, FundingLedger]:
    """Return the ledger of each symbol of `strategy`; it holds the payments of this run only."""
    ledgers = {}
    for data in strategy.datas:
        commission = strategy.broker.getcommissioninfo(data)
        if isinstance(commission, PerpetualCommission):
            commission.begin_run(strategy.cerebro.runningstrats)
            ledgers[symbol_of(data)] = commission.ledger
    return ledgers


def _reference_price(order: Any, fill: Any) -> float:
    opening = order.data.open[0]
    if order.info.get("liquidation", False):
        return float(fill.price)
    if order.exectype == bt.Order.Market:
        return float(opening)
    if order.exectype in (bt.Order.Stop, bt.Order.StopTrail):
        worse = max if order.isbuy() else min
        return float(worse(opening, order.created.price))
    return float(fill.price)


class Orders(bt.Analyzer):
    """Return columns, a row an order that came to an end, in the order of their ends.

    `time` (bar close of the fill or of the refusal, UTC ms), `decided` (bar close of the decision), `symbol`,
    `side`, `size` (signed, executed), `requested` (signed), `price` (average fill, NaN without one),
    `reference_price` (open of the filling bar), `fee` and `slippage` (quote, >= 0 is a cost), `status`
    (completed, margin, rejected, canceled, expired), `liquidation` (bool).

    Slippage is |size| * |price - reference_price|. The reference of a stop is its trigger, unless the bar
    opened beyond it; limit orders and liquidations have no slippage, their reference is their price.
    Funding is never part of a fee. An order decided on the last bar has no end and no row.
    """

    def start(self) -> None:
        """Begin with no orders."""
        self._numbers = {
            name: array("d")
            for name in (
                "time",
                "decided",
                "size",
                "requested",
                "price",
                "reference_price",
                "fee",
                "slippage",
            )
        }
        self._words: dict[str, list[Any]] = {name: [] for name in ("symbol", "side", "status", "liquidation")}
        self._partial: dict[int, tuple[float, float]] = {}

    def notify_order(self, order: Any) -> None:
        """Add up the fills of an order and write its row when it ends."""
        fee, reference = self._partial.pop(order.ref, (0.0, 0.0))
        for fill in order.executed.iterpending():
            fee += fill_fee(order, fill, self.strategy.broker)
            reference += fill.size * _reference_price(order, fill)
        status = _STATUS.get(order.status)
        # A margin call after a partial fill comes in two notices: the fill (Partial), then the refusal.
        if status is None:
            self._partial[order.ref] = (fee, reference)
        else:
            self._write(order, status, fee, reference)

    def _write(self, order: Any, status: str, fee: float, reference: float) -> None:
        executed = order.executed
        size = executed.size
        row = {
            "time": executed.dt if executed.dt is not None else self.strategy.lines.datetime[0],
            "decided": order.created.dt,
            "size": size,
            "requested": order.created.size,
            "price": executed.price if size else np.nan,
            "reference_price": reference / size if size else np.nan,
            "fee": fee,
            "slippage": size * executed.price - reference if size else 0.0,
        }
        for name, value in row.items():
            self._numbers[name].append(value)
        self._words["symbol"].append(symbol_of(order.data))
        self._words["side"].append("buy" if order.isbuy() else "sell")
        self._words["status"].append(status)
        self._words["liquidation"].append(bool(order.info.get("liquidation", False)))

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
            "liquidation": np.array(self._words["liquidation"], dtype=bool),
        }


class Funding(bt.Analyzer):
    """Return columns, a row a payment of the account, by time: those of `FundingLedger.columns`.

    `time` (close of the charging bar, UTC ms), `symbol`, `rate`, `position` (base units), `price`, `amount`
    (quote, positive = paid). Empty without a `PerpetualCommission`.
    """

    def start(self) -> None:
        """Make sure that payments of an earlier run are gone."""
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
