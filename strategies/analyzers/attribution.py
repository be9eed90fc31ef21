"""Where the profit of a run came from: every amount, with the symbol, side, decision and bar that it belongs to."""

from __future__ import annotations

import struct
from array import array
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scorenet.base.times import float_days

from ..datas import HALF_SECOND, mark_line, symbol_of
from .attribution_tables import KINDS, ROW, attribute, coded, grouped, net_by_bar, refused
from .orders import fill_fee, funding_ledgers, is_forced, is_maker, reference_price
from .recording import EquityAnalyzer

__all__ = ["Attribution"]

_pack = struct.Struct("<4dIbB").pack
_GROSS, _TAKER, _MAKER, _LIQUIDATION, _SLIPPAGE, _FUNDING = range(len(KINDS))
_DUST = 1e-9


class _Position:
    """A position from fill to fill; `mark` is the price up to which its profit is recorded.

    `changes` are the dates of its fills and those of the decisions behind them.
    """

    __slots__ = (
        "changes",
        "close",
        "commission",
        "decided",
        "largest",
        "mark",
        "number",
        "profit",
        "side",
        "size",
        "symbol",
    )

    def __init__(self, number: int, data: Any, commission: Any) -> None:
        self.number, self.symbol, self.commission = number, symbol_of(data), commission
        self.close, self.profit = mark_line(data), commission.profitandloss
        self.size = self.largest = self.mark = self.decided = 0.0
        self.side = 0
        self.changes: tuple[array[float], array[float]] = array("d"), array("d")

    def decided_before(self, dates: Any) -> Any:
        """Return the date [N] of the decision behind the position held until `dates` [N]; 0.0 without one."""
        at = np.searchsorted(np.array(self.changes[0]), np.asarray(dates) - HALF_SECOND) - 1
        return np.append(np.array(self.changes[1]), 0.0)[at]


class Attribution(EquityAnalyzer):
    """Return where the profit of the run came from, in quote currency; all parts add up.

    The keys:

    - `total`: last equity - first equity - deposits. `total` = `gross` - all `costs` + `insurance`.
    - `gross`: profit at prices without slippage (the reference prices of `Orders`), before costs.
    - `costs`: `taker_fees`, `maker_fees`, `liquidation_fees`, `slippage`, `funding` (positive = paid).
    - `insurance`: losses beyond the account's equity, which were not charged to it.
    - `by_state`, `by_side`, `by_reason`, `by_symbol`, `by_month`: the same profit cut in five ways, each a mapping of
      part to `gross`, `fees`, `slippage`, `funding` and `net` = gross - fees - slippage - funding. The parts of each
      cut add up to `total` - `insurance`.
    - `refused`: see below.

    A bar's profit is `inside`, `outside` or `unknown` by the state at the close before it, at which the position was
    kept. Its reason is that of the decision whose order opened the position or last changed its size; the costs of an
    order belong to the decision that sent it. Without a decision record the reason is `unrecorded`. A fill that turns a
    long into a short is two: its costs are split by size. Months are UTC, closed on the right.

    `refused` has, for each reason for which a decision set the target to 0, the number of `bars`, and `pnl`: what the
    target of the position rule would have earned from that close to the symbol's next one, without costs, on the
    equity of that bar. It needs the column `unfiltered` of the decision record, and is left out without it.

    After the run, `net` has the symbols and the profit after costs [N, symbols] of each recorded bar.
    """

    def start(self) -> None:
        """Start without positions."""
        super().start()
        broker = self.strategy.broker
        self._ledgers = funding_ledgers(self.strategy)
        self._positions = {
            id(data): _Position(number, data, broker.getcommissioninfo(data))
            for number, data in enumerate(self.strategy.datas)
        }
        self._held: dict[int, _Position] = {}
        self._rows = bytearray()

    def notify_order(self, order: Any) -> None:
        """Record the new fills of an order."""
        for at, fill in enumerate(order.executed.iterpending(), start=order.executed.p1):
            self._fill(self._positions[id(order.data)], order, fill, first=at == 0)

    def next(self) -> None:
        """Record one bar."""
        if self._writes:
            super().next()
        if self._held:
            now = self._clock[0]
            for position in self._held.values():
                self._move(position, position.close[0], now)

    def _move(self, position: _Position, price: float, now: float) -> None:
        """Record the profit of a position up to `price`."""
        if price != position.mark:
            gross = position.profit(position.size, position.mark, price)
            self._rows += _pack(now, now, position.decided, gross, position.number, position.side, _GROSS)
            position.mark = price

    def _fill(self, position: _Position, order: Any, fill: Any, *, first: bool) -> None:
        now = self._clock[0]
        reference = reference_price(order, fill, first=first)
        if position.size:
            self._move(position, reference, now)
        forced = is_forced(order)
        decided = position.decided if forced else order.created.dt
        fee = fill_fee(order, fill, self.strategy.broker)
        slip = position.profit(fill.size, reference, fill.price)
        kind = (
            _LIQUIDATION
            if order.info.get("liquidation", False)
            else _MAKER
            if is_maker(order, fill)
            else _TAKER
        )
        closing = min(abs(position.size), abs(fill.size)) if position.size * fill.size < 0.0 else 0.0
        share = closing / abs(fill.size)
        for side, part in ((np.sign(position.size), share), (np.sign(fill.size), 1.0 - share)):
            if part > 0.0:
                for amount, what in ((fee * part, kind), (slip * part, _SLIPPAGE)):
                    if amount:
                        self._rows += _pack(now, 0.0, decided, amount, position.number, int(side), what)
        position.size += fill.size
        position.largest = max(position.largest, abs(position.size))
        position.mark, position.decided, position.side = reference, decided, 1 if position.size > 0.0 else -1
        position.changes[0].append(now)
        position.changes[1].append(decided)
        if abs(position.size) <= _DUST * position.largest:
            position.size = position.largest = 0.0
            self._held.pop(position.number, None)
        else:
            self._held[position.number] = position

    def stop(self) -> None:
        """Compute the tables, and release the run's objects so that the analyzer can be pickled."""
        dates, equity = self.recording.dates, np.array(self.recording.equity)
        rows = np.concatenate((np.frombuffer(self._rows, dtype=ROW), self._funding()))
        # A bar's profit is since the bar before, so the first recorded bar has none.
        rows = rows[rows["date"] > dates[0] + HALF_SECOND] if len(dates) else rows[:0]
        recorder = getattr(self.strategy, "decisions", None)
        decisions = {} if recorder is None else dict(recorder.columns())
        symbols = [position.symbol for position in self._positions.values()]
        self.net = symbols, net_by_bar(rows, np.array(dates), len(symbols))
        insurance = float(getattr(self._broker, "insurance", 0.0))
        total = float(equity[-1] - equity[0] - self.recording.cash_flows.sum()) if len(equity) else 0.0
        self.rets = {"total": total, **attribute(rows, symbols, decisions), "insurance": insurance}
        if "unfiltered" in decisions:
            inverse = {p.symbol for p in self._positions.values() if getattr(p.commission, "inverse", False)}
            self.rets["refused"] = refused(decisions, self.recording.times, equity, inverse)
        del self._positions, self._held, self._rows, self._ledgers
        super().stop()

    def _funding(self) -> NDArray[Any]:
        """Return the payments of the run as rows; they are charged on the position held until the bar's open."""
        tables = [ledger.columns() for ledger in {id(one): one for one in self._ledgers.values()}.values()]
        paid: dict[str, list[tuple[Any, Any]]] = {}
        for table in tables:
            numbers, names = coded(np.asarray(table["symbol"], dtype=object))
            for name, mine in zip(names, grouped(numbers, len(names)), strict=True):
                paid.setdefault(name, []).append((table, mine))
        found = [np.zeros(0, dtype=ROW)]
        for position in self._positions.values():
            for table, mine in paid.get(position.symbol, ()):
                rows = np.zeros(len(mine), dtype=ROW)
                rows["date"] = rows["before"] = float_days(table["time"][mine])
                rows["decided"] = position.decided_before(rows["date"])
                rows["amount"], rows["symbol"], rows["kind"] = (
                    table["amount"][mine],
                    position.number,
                    _FUNDING,
                )
                rows["side"] = np.sign(table["position"][mine])
                found.append(rows)
        return np.concatenate(found)
