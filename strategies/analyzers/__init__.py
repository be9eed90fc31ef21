"""All analyzers; each returns a plain dict from `get_analysis()`, which `optstrategy` can pickle."""

from .decisions import Decisions, InDistribution
from .equity import Drawdown, EquityCurve, Sharpe, Sortino
from .orders import Funding, Orders
from .periods import DailyReturns, MonthlyReturns
from .trades import Trades

__all__ = [
    "DailyReturns",
    "Decisions",
    "Drawdown",
    "EquityCurve",
    "Funding",
    "InDistribution",
    "MonthlyReturns",
    "Orders",
    "Sharpe",
    "Sortino",
    "Trades",
]
