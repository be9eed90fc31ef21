"""Strategies without a model: buy and hold, replay of recorded orders, precomputed signals."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import backtrader as bt
import numpy as np

from scorenet.base.times import float_days

from .account.contracts import contract_value
from .account.perpetual import PerpetualCommission
from .cerebro.begin import first_date
from .datas import HALF_SECOND, symbol_of, to_milliseconds
from .sizing import cap_gross, exposure_to_size, outside_band

__all__ = ["BuyAndHold", "ReplayOrders", "SignalStrategy", "orders_to_replay"]

_LOG = logging.getLogger(__name__)


def _commission_of(strategy: Any, data: Any) -> PerpetualCommission:
    commission = strategy.broker.getcommissioninfo(data)
    if not isinstance(commission, PerpetualCommission):
        raise TypeError(
            f"{type(strategy).__name__} needs fractional sizes for {symbol_of(data)}, "
            f"found {type(commission).__name__}; call cerebro.broker.addcommissioninfo(PerpetualCommission())"
        )
    return commission


class BuyAndHold(bt.Strategy):
    """Buy each data at its first bar, an equal share of `exposure` of the starting equity, and hold to the end.

    The share of a data that is listed later stays in cash until then. If the margin is not sufficient (exposure near
    the leverage, and fees), the order is sent again, 1 % smaller each time. The broker charges fees, slippage and
    funding.

    Attributes:
      - not_bought: symbols whose share is below the smallest order; each is also a warning in the log.

    Params:
      - exposure (1.0): value of all positions as a fraction of equity at the first bar; negative for short positions.
      - trade_from (None): first bar at which to buy: a date (its open), or a number (its close, UTC ms).
    """

    params = (("exposure", 1.0), ("trade_from", None))

    def start(self) -> None:
        """Set the share of each data; `next` buys it."""
        self._trade_from = first_date(self.p.trade_from, self.data)
        self._commissions = {data: _commission_of(self, data) for data in self.datas}
        self._shares = {data: self.p.exposure / len(self.datas) for data in self.datas}
        self._sent: dict[Any, float] = {}
        self._capital: float | None = None
        self.not_bought: list[str] = []

    def prenext(self) -> None:
        """Buy also before all datas have a bar."""
        self.next()

    def next(self) -> None:
        """Send orders for the shares that are not bought yet."""
        if not self._shares or self.lines.datetime[0] < self._trade_from:
            return
        if self._capital is None:
            self._capital = self.broker.getvalue()
        for data in [data for data in self._shares if len(data)]:
            share = self._sent[data] = self._shares.pop(data)
            commission, price = self._commissions[data], data.close[0]
            unit = contract_value(commission, 1.0, price)
            size = exposure_to_size(share, self._capital, price, commission.round_size, unit)
            if not size:
                self._skip(data, share * self._capital)
                continue
            self.buy(data=data, size=size) if size > 0.0 else self.sell(data=data, size=-size)

    def _skip(self, data: Any, value: float) -> None:
        self.not_bought.append(symbol_of(data))
        _LOG.warning(
            "%s was not bought: %g is below the smallest order; use more cash, or a smaller lot_step and min_notional",
            symbol_of(data),
            value,
        )

    def notify_order(self, order: Any) -> None:
        """Reduce the share by 1 % if the broker rejected the order for lack of margin."""
        if order.status == bt.Order.Margin:
            self._shares[order.data] = 0.99 * self._sent[order.data]


def orders_to_replay(orders: Mapping[str, Any]) -> dict[str, Any]:
    """Return the `orders` parameter of `ReplayOrders` that repeats a run, from the result of its `Orders` analyzer."""
    chosen = ~(np.asarray(orders["liquidation"], dtype=bool) | np.asarray(orders["settlement"], dtype=bool))
    return {
        "decided": np.asarray(orders["decided"])[chosen],
        "symbol": np.asarray(orders["symbol"], dtype=object)[chosen].tolist(),
        "size": np.asarray(orders["requested"])[chosen],
    }


class ReplayOrders(bt.Strategy):
    """Send recorded market orders again, on the bars on which they were decided.

    Params:
      - orders: mapping of columns `decided` (bar close, UTC ms), `symbol`, `size` (signed base units), each
        [N].

    Raises:
        ValueError: an order has a symbol without data in Cerebro, or a time at which no bar closes.
    """

    params = (("orders", None),)

    def start(self) -> None:
        """Sort the orders by time and look up their datas."""
        columns = self.p.orders or {"decided": [], "symbol": [], "size": []}
        decided = np.asarray(columns["decided"], dtype=np.float64)
        sequence = np.argsort(decided, kind="stable")
        by_name = {symbol_of(data): data for data in self.datas}
        unknown = sorted(set(columns["symbol"]) - set(by_name))
        if unknown:
            raise ValueError(
                f"expected data for the symbols of all orders, found none for {', '.join(unknown)}; "
                f"Cerebro has {', '.join(sorted(by_name))}"
            )
        self._dates = [float_days(decided[i]) - HALF_SECOND for i in sequence] + [float("inf")]
        self._orders = [(by_name[columns["symbol"][i]], float(columns["size"][i])) for i in sequence]
        self._at = 0
        self._due = self._dates[0]

    def prenext(self) -> None:
        """Replay also before all datas have a bar."""
        self.next()

    def next(self) -> None:
        """Send the orders of this bar."""
        now = self.lines.datetime[0]
        while self._due <= now:
            if now - self._due > 2.0 * HALF_SECOND:
                missed = to_milliseconds([self._due + HALF_SECOND])[0]
                raise ValueError(
                    f"expected a bar that closes at {missed} (UTC ms), the time of an order, found none; "
                    "replay the orders on the bars of the recorded run"
                )
            data, size = self._orders[self._at]
            self.buy(data=data, size=size) if size > 0.0 else self.sell(data=data, size=-size)
            self._at += 1
            self._due = self._dates[self._at]


class SignalStrategy(bt.Strategy):
    """Trade target exposures that are computed in advance, e.g. by an oracle, at random, or by another program.

    Params:
      - signals: mapping of symbol to target exposure (fraction of equity in [-1, 1]): either an array [T],
        row i for the i-th bar of that data, or a pair (bar close in UTC ms [T], exposure [T]). At NaN, and at
        bars without a row, the position is kept.
      - max_exposure (1.0): factor from signal to exposure, and the cap of the gross exposure over all
        symbols.
      - rebalance_band (0.0): smallest change of exposure that is traded; a change to zero is always traded.
      - trade_from (None): first bar at which to trade: a date (its open), or a number (its close, UTC ms).

    Raises:
        ValueError: a symbol has no signal.
    """

    params = (("signals", None), ("max_exposure", 1.0), ("rebalance_band", 0.0), ("trade_from", None))

    def start(self) -> None:
        """Index the signals by bar."""
        signals = self.p.signals or {}
        missing = sorted({symbol_of(data) for data in self.datas} - set(signals))
        if missing:
            raise ValueError(
                f"expected a signal for every symbol, found none for {', '.join(missing)}; "
                f"signals has {sorted(signals)}"
            )
        self._trade_from = first_date(self.p.trade_from, self.data)
        self._books = [
            (d, symbol_of(d), _commission_of(self, d), _lookup(signals[symbol_of(d)])) for d in self.datas
        ]
        self._waiting: set[str] = set()
        # Backtrader's own broker holds a market that has ended for ever.
        self._has_settled = getattr(self.broker, "has_settled", lambda data: False)

    def prenext(self) -> None:
        """Trade also before all datas have a bar."""
        self.next()

    def next(self) -> None:
        """Send the orders that bring each data with a bar to its target exposure."""
        if self.lines.datetime[0] < self._trade_from:
            return
        equity = self.broker.getvalue()
        if equity <= 0.0:
            return
        current, target = {}, {}
        room = self.p.max_exposure
        listed = [book for book in self._books if len(book[0])]
        for data, symbol, commission, lookup in listed:
            current[symbol] = contract_value(commission, self.getposition(data).size, data.close[0]) / equity
            if self._has_settled(data):
                continue
            signal = lookup(data)
            if np.isnan(signal):
                room -= abs(current[symbol])
            else:
                target[symbol] = signal * self.p.max_exposure
        target = cap_gross(target, max(room, 0.0))
        for data, symbol, commission, _ in listed:
            # The last order of a data is filled only at its next bar.
            if symbol in self._waiting or symbol not in target:
                continue
            if not outside_band(current[symbol], target[symbol], self.p.rebalance_band):
                continue
            price = data.close[0]
            unit = contract_value(commission, 1.0, price)
            wanted = exposure_to_size(target[symbol], equity, price, commission.round_size, unit)
            size = commission.order_size(wanted, self.getposition(data).size, price)
            if size:
                self._waiting.add(symbol)
                self.buy(data=data, size=size) if size > 0.0 else self.sell(data=data, size=-size)

    def notify_order(self, order: Any) -> None:
        """Allow the next order of the symbol after this one has ended."""
        if not order.alive():
            self._waiting.discard(symbol_of(order.data))


def _lookup(signal: Any) -> Any:
    if isinstance(signal, tuple):
        times, exposures = signal
        table = dict(
            zip(np.asarray(times).tolist(), np.asarray(exposures, dtype=np.float64).tolist(), strict=True)
        )
        return lambda data: table.get(int(to_milliseconds(data.datetime[0])), np.nan)
    row = np.asarray(signal, dtype=np.float64).tolist()
    return lambda data: row[len(data) - 1] if len(data) <= len(row) else np.nan
