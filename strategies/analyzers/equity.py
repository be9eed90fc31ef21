"""Analyzers of the equity curve, with one row per bar for any bar size."""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np

from ..account.contracts import contract_value
from ..datas import mark_line
from .metrics import bar_returns, drawdowns, sharpe_ratio, sortino_ratio
from .recording import EquityAnalyzer

__all__ = ["Drawdown", "EquityCurve", "Sharpe", "Sortino"]


class EquityCurve(EquityAnalyzer):
    """Return columns [N], one row per bar: time, equity, cash, exposure, gross, cash_flow.

    `time` is the bar close in UTC ms.
    Equity and cash are in quote currency, and cash = equity - sum(value of the positions). `exposure` is the sum of the
    signed values / equity, `gross` the sum of the absolute values / equity; both are 0 without equity. `cash_flow` is
    what was deposited (positive) or withdrawn in the bar.
    """

    def start(self) -> None:
        """Look up the objects that every bar needs."""
        super().start()
        self._net, self._absolute = array("d"), array("d")
        # `getposition` would create a position of a data without bars, whose price the stock broker then reads.
        positions = getattr(self._broker, "positions", None)
        self._position_of = self._broker.getposition if positions is None else positions.get
        # The recording is shared; the columns of positions have rows only where this analyzer has written them.
        self._values = [
            (data, mark_line(data), self._broker.getcommissioninfo(data)) for data in self.strategy.datas
        ]

    def next(self) -> None:
        """Record one bar."""
        now = self._clock[0]
        if now < self._trade_from:
            return
        broker = self._broker
        net = gross = 0.0
        for data, close, commission in self._values:
            position = self._position_of(data)
            if position is not None and position.size:
                value = contract_value(commission, position.size, close[0])
                net += value
                gross += abs(value)
        if self._writes:
            self.recording.add(now, broker)
        rows = len(self.recording.dates)
        if len(self._net) == rows:  # a second bar with the same close
            self._net[-1], self._absolute[-1] = net, gross
        else:
            self._net.append(net)
            self._absolute.append(gross)

    def stop(self) -> None:
        """Release the run's objects, so that the analyzer can be pickled for another process."""
        super().stop()
        del self._values, self._position_of

    def get_analysis(self) -> dict[str, np.ndarray]:
        """Return the columns, each [N]."""
        equity, net = np.array(self.recording.equity), np.array(self._net)
        solvent = equity > 0.0
        divisor = np.where(solvent, equity, 1.0)
        return {
            "time": self.recording.times,
            "equity": equity,
            "cash": equity - net,
            "exposure": np.where(solvent, net / divisor, 0.0),
            "gross": np.where(solvent, np.array(self._absolute) / divisor, 0.0),
            "cash_flow": self.recording.cash_flows,
        }


class Sharpe(EquityAnalyzer):
    """Return `{"sharpe_ratio"}`: mean / standard deviation (ddof 1) of bar returns, annualised.

    A year is 365 days of time, or a year of the market's trading calendar: the factor is the root of the number of
    returns in a year, which missing bars lower. The
    risk-free rate is 0, deposits are no return. None if undefined: fewer than two returns, or equal gains at all bars.
    """

    def get_analysis(self) -> dict[str, float | None]:
        """Return the figure."""
        rate = self.recording.returns_per_year
        returns = bar_returns(self.recording.growth)
        return {"sharpe_ratio": None if rate is None else sharpe_ratio(returns, rate)}


class Sortino(EquityAnalyzer):
    """Return `{"sortino_ratio"}`: mean / root mean square of min(return, 0) over all bars, annualised as `Sharpe`."""

    def get_analysis(self) -> dict[str, float | None]:
        """Return the figure."""
        rate = self.recording.returns_per_year
        returns = bar_returns(self.recording.growth)
        return {"sortino_ratio": None if rate is None else sortino_ratio(returns, rate)}


class Drawdown(EquityAnalyzer):
    """Return `{"max_drawdown", "max_drawdown_bars", "drawdown"}`.

    `max_drawdown` and `drawdown` (at the end of the run) are fractions <= 0 of the running maximum of equity without
    deposits and withdrawals. `max_drawdown_bars` is the longest number of bars below a maximum. The fractions are None
    before the first bar.
    """

    def get_analysis(self) -> dict[str, float | int | None]:
        """Return the figures."""
        depths = drawdowns(self.recording.growth)
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
