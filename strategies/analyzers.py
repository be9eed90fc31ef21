"""All analyzers in one place; each returns a plain dict from `get_analysis()` and survives `optstrategy`."""

from strategies.decision_analyzers import Decisions, InDistribution
from strategies.equity_analyzers import Drawdown, EquityCurve, Sharpe, Sortino
from strategies.order_analyzers import Funding, Orders
from strategies.trade_analyzers import Trades

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
