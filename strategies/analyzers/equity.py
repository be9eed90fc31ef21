"""Analyzers of the equity curve: a row a bar, whatever the bar size."""

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
    """Record the equity at each bar's close, from the first bar on which the strategy can trade.

    Params:
      - trade_from (None): first bar close to record, UTC ms.
      - warmup (False): record the bars before the strategy's minimum period, too.
    """

    params = (("trade_from", None), ("warmup", False))

    def start(self) -> None:
        """Look up once what every bar needs."""
        self._times, self._equity = array("d"), array("d")
        self._trade_from = 0.0 if self.p.trade_from is None else float_days(self.p.trade_from) - _HALF_SECOND
        self._clock = self.strategy.lines.datetime
        self._broker = self.strategy.broker

    def prenext(self) -> None:
        """Skip the warm-up, or record it when asked to."""
        if self.p.warmup:
            self.next()

    def next(self) -> None:
        """Record one bar."""
        now = self._clock[0]
        if now >= self._trade_from:
            self._times.append(now)
            self._equity.append(self._broker.getvalue())

    def stop(self) -> None:
        """Let go of the run, so that the analysis can leave its process."""
        del self._clock, self._broker


class EquityCurve(EquityAnalyzer):
    """Return columns, a row a bar: `time` (bar close, UTC ms), `equity`, `cash`, `exposure`, `gross`.

    Equity and cash are in quote currency, cash = equity - sum(size * close); exposure is the signed sum of
    size * close over equity and gross its absolute sum (both 0 without equity).
    """

    def start(self) -> None:
        """Look up once what every bar needs."""
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
        """Let go of the run, so that the analysis can leave its process."""
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
    """Know how many bars make a year: those of the fastest data, for 365 days of 24 hours."""

    def start(self) -> None:
        """Look up once what every bar needs."""
        super().start()
        self._periods_per_year = periods_per_year(min(map(bar_milliseconds, self.strategy.datas)))


class Sharpe(RatioAnalyzer):
    """Return `{"sharpe_ratio"}`: mean over standard deviation (ddof 1) of bar returns, a year.

    A year is 365 days of bars, the risk-free rate is 0. None when undefined: fewer than two returns, or a
    constant gain.
    """

    def get_analysis(self) -> dict[str, float | None]:
        """Return the figure."""
        return {"sharpe_ratio": sharpe_ratio(bar_returns(self._equity), self._periods_per_year)}


class Sortino(RatioAnalyzer):
    """Return `{"sortino_ratio"}`: mean over root mean square of min(return, 0) of all bars, a year."""

    def get_analysis(self) -> dict[str, float | None]:
        """Return the figure."""
        return {"sortino_ratio": sortino_ratio(bar_returns(self._equity), self._periods_per_year)}


class Drawdown(EquityAnalyzer):
    """Return `{"max_drawdown", "max_drawdown_bars", "drawdown"}`.

    Depths are fractions <= 0 of the running maximum of equity, `drawdown` as it stands at the end; the length
    is the longest run of bars below a maximum. None before the first bar.
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
