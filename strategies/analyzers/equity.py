"""Analyzers of the equity curve, with one row per bar for any bar size."""

from __future__ import annotations

from array import array
from typing import Any

import backtrader as bt
import numpy as np

from scorenet.base.times import float_days

from ..datas import bar_milliseconds, periods_per_year, to_milliseconds
from .metrics import bar_returns, drawdowns, sharpe_ratio, sortino_ratio

__all__ = ["Drawdown", "EquityCurve", "Sharpe", "Sortino"]

_HALF_SECOND = 0.5 / 86_400.0


class EquityAnalyzer(bt.Analyzer):
    """Record the equity at each bar's close, from the first bar at which the strategy can trade.

    Params:
      - trade_from (None): first bar close to record, UTC ms.
      - warmup (False): also record the bars before the strategy's minimum period.
    """

    params = (("trade_from", None), ("warmup", False))

    def start(self) -> None:
        """Look up the objects that every bar needs."""
        self._times, self._equity = array("d"), array("d")
        self._trade_from = 0.0 if self.p.trade_from is None else float_days(self.p.trade_from) - _HALF_SECOND
        self._clock = self.strategy.lines.datetime
        self._broker = self.strategy.broker

    def prenext(self) -> None:
        """Record a bar of the warm-up if `warmup` is set."""
        if self.p.warmup:
            self.next()

    def next(self) -> None:
        """Record one bar."""
        now = self._clock[0]
        if now >= self._trade_from:
            self._times.append(now)
            self._equity.append(self._broker.getvalue())

    def stop(self) -> None:
        """Release the run's objects, so that the analyzer can be pickled for another process."""
        del self._clock, self._broker


class EquityCurve(EquityAnalyzer):
    """Return columns [N], one row per bar: `time` (bar close, UTC ms), `equity`, `cash`, `exposure`, `gross`.

    Equity and cash are in quote currency, and cash = equity - sum(size * close). `exposure` is sum(size * close) /
    equity, `gross` is sum(|size * close|) / equity; both are 0 without equity.
    """

    def start(self) -> None:
        """Look up the objects that every bar needs."""
        super().start()
        self._net, self._absolute = array("d"), array("d")
        self._closes = [(data, data.lines.close) for data in self.strategy.datas]

    def next(self) -> None:
        """Record one bar."""
        now = self._clock[0]
        if now < self._trade_from:
            return
        broker = self._broker
        net = gross = 0.0
        for data, close in self._closes:
            size = broker.getposition(data).size
            if size:
                value = size * close[0]
                net += value
                gross += abs(value)
        self._times.append(now)
        self._equity.append(broker.getvalue())
        self._net.append(net)
        self._absolute.append(gross)

    def stop(self) -> None:
        """Release the run's objects, so that the analyzer can be pickled for another process."""
        super().stop()
        del self._closes

    def get_analysis(self) -> dict[str, np.ndarray]:
        """Return the columns, each [N]."""
        equity, net = np.array(self._equity), np.array(self._net)
        solvent = equity > 0.0
        divisor = np.where(solvent, equity, 1.0)
        return {
            "time": to_milliseconds(self._times),
            "equity": equity,
            "cash": equity - net,
            "exposure": np.where(solvent, net / divisor, 0.0),
            "gross": np.where(solvent, np.array(self._absolute) / divisor, 0.0),
        }


class RatioAnalyzer(EquityAnalyzer):
    """Base class of annualised ratios: a year is 365 days of 24 hours, counted in bars of the smallest bar size."""

    def start(self) -> None:
        """Look up the objects that every bar needs."""
        super().start()
        self._periods_per_year = periods_per_year(min(map(bar_milliseconds, self.strategy.datas)))


class Sharpe(RatioAnalyzer):
    """Return `{"sharpe_ratio"}`: mean / standard deviation (ddof 1) of bar returns, annualised.

    A year is 365 days of bars, the risk-free rate is 0. None if undefined: fewer than two returns, or equal gains at
    all bars.
    """

    def get_analysis(self) -> dict[str, float | None]:
        """Return the figure."""
        return {"sharpe_ratio": sharpe_ratio(bar_returns(self._equity), self._periods_per_year)}


class Sortino(RatioAnalyzer):
    """Return `{"sortino_ratio"}`: mean / root mean square of min(return, 0) over all bars, annualised."""

    def get_analysis(self) -> dict[str, float | None]:
        """Return the figure."""
        return {"sortino_ratio": sortino_ratio(bar_returns(self._equity), self._periods_per_year)}


class Drawdown(EquityAnalyzer):
    """Return `{"max_drawdown", "max_drawdown_bars", "drawdown"}`.

    `max_drawdown` and `drawdown` (at the end of the run) are fractions <= 0 of the running maximum of equity.
    `max_drawdown_bars` is the longest number of bars below a maximum. All are None before the first bar.
    """

    def get_analysis(self) -> dict[str, float | int | None]:
        """Return the figures."""
        depths = drawdowns(self._equity)
        if not len(depths):
            return {"max_drawdown": None, "max_drawdown_bars": 0, "drawdown": None}
        return {
            "max_drawdown": float(depths.min()),
            "max_drawdown_bars": _longest_run(depths < 0.0),
            "drawdown": float(depths[-1]),
        }


def _longest_run(flags: Any) -> int:
    edges = np.flatnonzero(np.diff(np.concatenate(([0], flags.astype(np.int8), [0]))))
    return int(np.max(edges[1::2] - edges[::2], initial=0))
