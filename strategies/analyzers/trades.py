"""Trades from flat to flat, computed from the fills."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import backtrader as bt
import numpy as np

from ..datas import mark_line, symbol_of, to_milliseconds
from .metrics import profit_factor, win_rate
from .orders import fill_fee, funding_ledgers

__all__ = ["Trades"]

_DUST = 1e-9


@dataclass
class _RoundTrip:
    """The sums of one trade; `sign` is +1 for a long.

    Sizes are in contracts. A value is the sum of size * price; of an inverse contract, whose profit is linear in
    1 / price, the sum of size / price.
    """

    sign: float
    opened: float
    bar: int
    mult: float = 1.0
    inverse: bool = False
    size: float = 0.0
    max_size: float = 0.0
    entered: float = 0.0
    entered_value: float = 0.0
    left: float = 0.0
    left_value: float = 0.0
    fees: float = 0.0
    funding: float = 0.0

    def enter(self, size: float, price: float, fee: float) -> None:
        self.size += size
        self.max_size = max(self.max_size, self.size)
        self.entered += size
        self.entered_value += self._value(size, price)
        self.fees += fee

    def leave(self, size: float, price: float, fee: float) -> None:
        self.size -= size
        self.left += size
        self.left_value += self._value(size, price)
        self.fees += fee

    def _value(self, size: float, price: float) -> float:
        return size / price if self.inverse else size * price

    def _price(self, size: float, value: float) -> float:
        """Return the average price of `size` contracts with this value."""
        return size / value if self.inverse else value / size

    @property
    def is_flat(self) -> bool:
        return self.size <= _DUST * self.max_size

    def row(self, symbol: str, closed: float, bars: int, mark: float) -> dict[str, Any]:
        """Return the trade as a row; the open part is valued at the price `mark`."""
        gained = self.left_value + self._value(self.size, mark) - self.entered_value
        gross = self.sign * self.mult * (-gained if self.inverse else gained)
        return {
            "symbol": symbol,
            "side": "long" if self.sign > 0 else "short",
            "opened": self.opened,
            "closed": closed,
            "bars": bars,
            "size": self.max_size,
            "entry_price": self._price(self.entered, self.entered_value),
            "exit_price": self._price(self.left, self.left_value) if self.left else np.nan,
            "gross_pnl": gross,
            "fees": self.fees,
            "funding": self.funding,
            "net_pnl": gross - self.fees - self.funding,
        }


class Trades(bt.Analyzer):
    """Return `{"closed": columns, "open": columns, "n_trades", "win_rate", "profit_factor"}`.

    A trade lasts from flat to flat; a flip ends one trade and begins the next. The columns have one row per trade:
    `symbol`, `side` (long, short), `opened` and `closed` (bar close of the fill, UTC ms), `bars`, `size` (largest, base
    units), `entry_price` and `exit_price` (average prices of all entries and exits), `gross_pnl` (without costs),
    `fees`, `funding` (positive = paid) and `net_pnl` = gross_pnl - fees - funding, in quote currency.

    Trades that are open at the end are in `open`, valued at the last close. Their `closed` is the time of that close;
    their `exit_price` is the average of the exits so far (NaN without exits). The number of trades and the rates do not
    include them.
    """

    def start(self) -> None:
        """Start without positions."""
        self._ledgers = funding_ledgers(self.strategy)
        self._paid = dict.fromkeys(self._ledgers, 0.0)
        self._current: dict[str, _RoundTrip] = {}
        self._closed: list[dict[str, Any]] = []
        self._open: list[dict[str, Any]] = []

    def notify_order(self, order: Any) -> None:
        """Match the new fills of an order."""
        for fill in order.executed.iterpending():
            self._match(
                order.data, fill.size, fill.price, fill_fee(order, fill, self.strategy.broker), fill.dt
            )

    def _match(self, data: Any, size: float, price: float, fee: float, date: float) -> None:
        symbol = symbol_of(data)
        self._settle_funding(symbol)
        sign, left = np.sign(size), abs(size)
        trade = self._current.get(symbol)
        if trade is not None and trade.sign != sign:
            leaving = min(left, trade.size)
            trade.leave(leaving, price, fee * leaving / abs(size))
            left -= leaving
            if trade.is_flat:
                self._closed.append(trade.row(symbol, date, len(data) - trade.bar, price))
                del self._current[symbol]
                trade = None
        if left > _DUST * abs(size):
            if trade is None:
                trade = self._current[symbol] = self._begin(data, float(sign), date)
            trade.enter(left, price, fee * left / abs(size))

    def _begin(self, data: Any, sign: float, date: float) -> _RoundTrip:
        commission = self.strategy.broker.getcommissioninfo(data)
        inverse = bool(getattr(commission, "inverse", False))
        return _RoundTrip(sign, date, len(data), float(commission.p.mult), inverse)

    def _settle_funding(self, symbol: str) -> None:
        """Add the funding since the last fill to the open trade."""
        ledger = self._ledgers.get(symbol)
        if ledger is None:
            return
        total = ledger.total(symbol)
        if symbol in self._current:
            self._current[symbol].funding += total - self._paid[symbol]
        self._paid[symbol] = total

    def stop(self) -> None:
        """Value the open trades, and release the run's objects so that the analyzer can be pickled."""
        for data in self.strategy.datas:
            symbol = symbol_of(data)
            self._settle_funding(symbol)
            trade = self._current.get(symbol)
            if trade is not None:
                bars = len(data) - trade.bar
                self._open.append(trade.row(symbol, data.datetime[0], bars, mark_line(data)[0]))
        del self._ledgers

    def get_analysis(self) -> dict[str, Any]:
        """Return the closed and the open trades, and the figures of the closed."""
        closed = _columns(self._closed)
        return {
            "closed": closed,
            "open": _columns(self._open),
            "n_trades": len(self._closed),
            "win_rate": win_rate(closed["net_pnl"]),
            "profit_factor": profit_factor(closed["net_pnl"]),
        }


_WORDS = ("symbol", "side")
_TIMES = ("opened", "closed")
_NUMBERS = ("bars", "size", "entry_price", "exit_price", "gross_pnl", "fees", "funding", "net_pnl")


def _columns(rows: list[dict[str, Any]]) -> dict[str, Any]:
    table: dict[str, Any] = {name: [row[name] for row in rows] for name in _WORDS}
    table |= {name: to_milliseconds([row[name] for row in rows]) for name in _TIMES}
    for name in _NUMBERS:
        kind = np.int64 if name == "bars" else np.float64
        table[name] = np.array([row[name] for row in rows], dtype=kind)
    return table
