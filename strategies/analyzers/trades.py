"""Round trips from flat to flat, matched from the fills."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import backtrader as bt
import numpy as np

from ..datas import symbol_of, to_milliseconds
from .metrics import profit_factor, win_rate
from .orders import fill_fee, funding_ledgers

__all__ = ["Trades"]

_DUST = 1e-9


@dataclass
class _RoundTrip:
    """Add up one round trip; sizes are in base units, `sign` is +1 for a long."""

    sign: float
    opened: float
    bar: int
    size: float = 0.0
    max_size: float = 0.0
    bought: float = 0.0  # units that entered, and their value; `sold` are those that left
    bought_value: float = 0.0
    sold: float = 0.0
    sold_value: float = 0.0
    fees: float = 0.0
    funding: float = 0.0

    def enter(self, size: float, price: float, fee: float) -> None:
        self.size += size
        self.max_size = max(self.max_size, self.size)
        self.bought += size
        self.bought_value += size * price
        self.fees += fee

    def leave(self, size: float, price: float, fee: float) -> None:
        self.size -= size
        self.sold += size
        self.sold_value += size * price
        self.fees += fee

    @property
    def is_flat(self) -> bool:
        return self.size <= _DUST * self.max_size

    def row(self, symbol: str, closed: float, bars: int, mark: float) -> dict[str, Any]:
        """Return the trade, with what is still open valued at `mark`."""
        gross = self.sign * (self.sold_value + self.size * mark - self.bought_value)
        return {
            "symbol": symbol,
            "side": "long" if self.sign > 0 else "short",
            "opened": self.opened,
            "closed": closed,
            "bars": bars,
            "size": self.max_size,
            "entry_price": self.bought_value / self.bought,
            "exit_price": self.sold_value / self.sold if self.sold else np.nan,
            "gross_pnl": gross,
            "fees": self.fees,
            "funding": self.funding,
            "net_pnl": gross - self.fees - self.funding,
        }


class Trades(bt.Analyzer):
    """Return `{"closed": columns, "open": columns, "n_trades", "win_rate", "profit_factor"}`.

    A trade lasts from flat to flat; a flip ends one and begins the next. Columns, a row a trade: `symbol`,
    `side` (long, short), `opened` and `closed` (bar close of the fill, UTC ms), `bars`, `size` (largest,
    base units), `entry_price` and `exit_price` (averages over all that entered or left), `gross_pnl` (price
    only), `fees`, `funding` (positive = paid) and `net_pnl` = gross_pnl - fees - funding, in quote
    currency.

    Trades that are open at the end are in `open`, marked at the last close, `closed` the time of that close
    and `exit_price` that of the part that has left (NaN when none has). They are in neither the count nor
    the rates.
    """

    def start(self) -> None:
        """Begin flat in every symbol."""
        self._ledgers = funding_ledgers(self.strategy)
        self._paid = dict.fromkeys(self._ledgers, 0.0)
        self._current: dict[str, _RoundTrip] = {}
        self._closed: list[dict[str, Any]] = []
        self._open: list[dict[str, Any]] = []

    def notify_order(self, order: Any) -> None:
        """Match the fills that this notice brings."""
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
                self._closed.append(trade.row(symbol, date, len(data) - trade.bar, 0.0))
                del self._current[symbol]
                trade = None
        if left > _DUST * abs(size):
            if trade is None:
                trade = self._current[symbol] = _RoundTrip(float(sign), date, len(data))
            trade.enter(left, price, fee * left / abs(size))

    def _settle_funding(self, symbol: str) -> None:
        """Give the open trade what was paid since the last fill."""
        ledger = self._ledgers.get(symbol)
        if ledger is None:
            return
        total = ledger.total(symbol)
        if symbol in self._current:
            self._current[symbol].funding += total - self._paid[symbol]
        self._paid[symbol] = total

    def stop(self) -> None:
        """Value what is still open and let go of the run."""
        for data in self.strategy.datas:
            symbol = symbol_of(data)
            self._settle_funding(symbol)
            trade = self._current.get(symbol)
            if trade is not None:
                bars = len(data) - trade.bar
                self._open.append(trade.row(symbol, data.datetime[0], bars, data.close[0]))
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
