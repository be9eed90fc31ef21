"""All analyzers; each returns a plain dict from `get_analysis()`, which `optstrategy` can pickle."""

from .attribution import Attribution
from .decisions import Decisions, InDistribution
from .equity import Drawdown, EquityCurve, Sharpe, Sortino
from .orders import Funding, Orders
from .periods import DailyReturns, MonthlyReturns
from .suite import add_scorenet_analyzers
from .trades import Trades

__all__ = [
    "Attribution",
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
    "add_scorenet_analyzers",
]
