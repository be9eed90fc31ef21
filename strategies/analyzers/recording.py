"""The equity of a run at each bar, recorded once for all analyzers that read it."""

from __future__ import annotations

from array import array
from typing import Any

import backtrader as bt
import numpy as np
from numpy.typing import NDArray

from scorenet.calendars import Clock

from ..cerebro.begin import first_date
from ..datas import clock_of_strategy, to_milliseconds
from .metrics import returns_per_year, without_cash_flows

__all__ = ["EquityAnalyzer", "Recording"]


class Recording:
    """Equity at bar closes, and the deposits and withdrawals that it contains.

    Deposits are read from `broker.cash_flows`, a list of (UTC ms, amount) that grows when an amount is booked; a broker
    without this list has none. `clock` is that of the market's trading calendar.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._trading_clock = clock
        self.dates, self.equity = array("d"), array("d")
        self._flows: dict[int, float] = {}
        self._booked = 0

    def add(self, date: float, broker: Any) -> None:
        """Add a bar, or replace the last one if it has the same close."""
        booked = getattr(broker, "cash_flows", ())
        if self.dates and self.dates[-1] == date:
            self.equity[-1] = broker.getvalue()
        else:
            self.dates.append(date)
            self.equity.append(broker.getvalue())
        if len(booked) != self._booked:
            row = len(self.dates) - 1
            if row:  # the first bar's equity is the capital at the start, wherever it came from
                amount = sum(float(amount) for _, amount in booked[self._booked :])
                self._flows[row] = self._flows.get(row, 0.0) + amount
            self._booked = len(booked)

    @property
    def times(self) -> NDArray[np.int64]:
        """Bar closes [N], UTC ms."""
        return to_milliseconds(self.dates)

    @property
    def cash_flows(self) -> NDArray[np.float64]:
        """Deposits minus withdrawals booked in each bar [N], quote currency."""
        flows = np.zeros(len(self.dates))
        flows[list(self._flows)] = list(self._flows.values())
        return flows

    @property
    def growth(self) -> NDArray[np.float64]:
        """Equity [N] as it would be without deposits and withdrawals."""
        return without_cash_flows(self.equity, self.cash_flows)

    @property
    def returns_per_year(self) -> float | None:
        """Number of bar returns in a year of 365 days or of the market's calendar; None with fewer than two bars."""
        return returns_per_year(self.times, self._trading_clock)


def _idle() -> None:
    pass


class EquityAnalyzer(bt.Analyzer):
    """Record the equity at each bar's close, from the first bar at which the strategy can trade.

    A strategy with `prenext` can trade as soon as one of its datas has its own minimum period, even if another data is
    listed years later; a strategy without it at its minimum period, or at its first order.

    Params:
      - trade_from (None): first bar to record: a date (its open, as `--since`), or a number (its close, UTC ms).
      - warmup (False): also record the bars before the strategy can trade.
    """

    params = (("trade_from", None), ("warmup", False))

    def start(self) -> None:
        """Look up the objects that every bar needs."""
        strategy = self.strategy
        self._traded = getattr(strategy, "traded", strategy.datas)
        self._trade_from = first_date(self.p.trade_from, self._traded[0])
        self._clock, self._broker = strategy.lines.datetime, strategy.broker
        self._begun = self.p.warmup
        self._has_prenext = type(strategy).prenext is not bt.Strategy.prenext
        # Analyzers with the same parameters share one recording, which the first of them writes.
        shared = strategy.__dict__.setdefault("_equity_recordings", {})
        key = (self.p.trade_from, self.p.warmup)
        self._writes = key not in shared
        self.recording: Recording = shared.setdefault(key, Recording(clock_of_strategy(strategy)))
        if not self._writes and type(self).next is EquityAnalyzer.next:
            # Nothing to do at a bar: spare Backtrader's calls, of which each takes as long as recording the bar.
            self._prenext = self._nextstart = self._next = _idle

    def prenext(self) -> None:
        """Record a bar before the strategy's minimum period if the strategy can trade already."""
        if not self._begun:
            self._begun = self._can_trade()
        if self._begun:
            self.next()

    def next(self) -> None:
        """Record one bar."""
        now = self._clock[0]
        if self._writes and now >= self._trade_from:
            self.recording.add(now, self._broker)

    def stop(self) -> None:
        """Release the run's objects, so that the analyzer can be pickled for another process."""
        del self._clock, self._broker, self._traded

    def _can_trade(self) -> bool:
        if getattr(self._broker, "orders", None):
            return True
        strategy = self.strategy
        # Backtrader's own per-data minimum periods, of which it uses only the latest to arrive.
        periods = dict(zip(map(id, strategy.datas), strategy._minperiods, strict=True))
        return self._has_prenext and any(len(data) >= periods[id(data)] for data in self._traded)
