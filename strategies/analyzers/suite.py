"""All analyzers in one call."""

from __future__ import annotations

from typing import Any

from ..cerebro.begin import TradeFrom
from .attribution import Attribution
from .decisions import Decisions, InDistribution
from .equity import Drawdown, EquityCurve, Sharpe, Sortino
from .orders import Funding, Orders
from .periods import DailyReturns, MonthlyReturns
from .trades import Trades

__all__ = ["add_scorenet_analyzers"]

_OF_EQUITY = {
    "equity": EquityCurve,
    "sharpe": Sharpe,
    "sortino": Sortino,
    "drawdown": Drawdown,
    "daily_returns": DailyReturns,
    "monthly_returns": MonthlyReturns,
    "attribution": Attribution,
}
_OF_EVENTS = {
    "orders": Orders,
    "trades": Trades,
    "funding": Funding,
    "decisions": Decisions,
    "in_distribution": InDistribution,
}


def add_scorenet_analyzers(cerebro: Any, *, trade_from: TradeFrom = None, warmup: bool = False) -> None:
    """Add every analyzer of this package to a Cerebro under a fixed name, e.g. `strategy.analyzers.sharpe`.

    The names: equity, sharpe, sortino, drawdown, daily_returns, monthly_returns, attribution, orders, trades, funding,
    decisions, in_distribution. They share one recording of the equity, and count the bars from the first at which the
    strategy can trade, whatever the bar size and whenever a data is listed. `trade_from` is the first bar to
    count: a date (its open, as `--since`), or a number (its close, UTC ms); with `warmup`, bars before the strategy can
    trade count too.
    """
    for name, analyzer in _OF_EQUITY.items():
        cerebro.addanalyzer(analyzer, _name=name, trade_from=trade_from, warmup=warmup)
    for name, other in _OF_EVENTS.items():
        cerebro.addanalyzer(other, _name=name)
