"""All analyzers; each returns a plain dict from `get_analysis()`, which `optstrategy` can pickle."""

from .decisions import Decisions, InDistribution
from .equity import Drawdown, EquityCurve, Sharpe, Sortino
from .orders import Funding, Orders
from .trades import Trades

__all__ = [
    "Decisions",
    "Drawdown",
    "EquityCurve",
    "Funding",
    "InDistribution",
    "Orders",
    "Sharpe",
    "Sortino",
    "Trades",
]
