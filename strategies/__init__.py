"""Backtrader classes: score strategy, indicators, perpetual account, analyzers; each is imported at its first use."""

from typing import TYPE_CHECKING

from scorenet.base.lazy import lazy_exports

if TYPE_CHECKING:
    from .account.broker import PerpetualBroker
    from .account.costs import Costs
    from .account.perpetual import PerpetualCommission
    from .account.slippage import FillFacts, register_slippage
    from .analyzers import (
        Attribution,
        DailyReturns,
        Decisions,
        Drawdown,
        EquityCurve,
        Funding,
        InDistribution,
        MonthlyReturns,
        Orders,
        Sharpe,
        Sortino,
        Trades,
        add_scorenet_analyzers,
    )
    from .baselines import BuyAndHold, ReplayOrders, SignalStrategy, orders_to_replay
    from .cerebro.hooks import SymbolFacts
    from .cerebro.panels import save_plot
    from .decision import (
        Conditions,
        Decision,
        Observation,
        Rules,
        decide,
        register_allocation,
        register_position_rule,
    )
    from .indicators import MarketScore, MarketState
    from .live_strategy import LiveScoreStrategy, Watch
    from .models import precompute
    from .regime_indicator import MarketRegime
    from .score_strategy import ScoreStrategy

_EXPORTS = {
    ".account.broker": ("PerpetualBroker",),
    ".account.costs": ("Costs",),
    ".account.perpetual": ("PerpetualCommission",),
    ".account.slippage": ("FillFacts", "register_slippage"),
    ".analyzers": (
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
    ),
    ".baselines": (
        "BuyAndHold",
        "ReplayOrders",
        "SignalStrategy",
        "orders_to_replay",
    ),
    ".cerebro.hooks": ("SymbolFacts",),
    ".cerebro.panels": ("save_plot",),
    ".decision": (
        "Conditions",
        "Decision",
        "Observation",
        "Rules",
        "decide",
        "register_allocation",
        "register_position_rule",
    ),
    ".indicators": (
        "MarketScore",
        "MarketState",
    ),
    ".live_strategy": (
        "LiveScoreStrategy",
        "Watch",
    ),
    ".models": ("precompute",),
    ".regime_indicator": ("MarketRegime",),
    ".score_strategy": ("ScoreStrategy",),
}

__getattr__, __dir__ = lazy_exports(__name__, _EXPORTS)

__all__ = [
    "Attribution",
    "BuyAndHold",
    "Conditions",
    "Costs",
    "DailyReturns",
    "Decision",
    "Decisions",
    "Drawdown",
    "EquityCurve",
    "FillFacts",
    "Funding",
    "InDistribution",
    "LiveScoreStrategy",
    "MarketRegime",
    "MarketScore",
    "MarketState",
    "MonthlyReturns",
    "Observation",
    "Orders",
    "PerpetualBroker",
    "PerpetualCommission",
    "ReplayOrders",
    "Rules",
    "ScoreStrategy",
    "Sharpe",
    "SignalStrategy",
    "Sortino",
    "SymbolFacts",
    "Trades",
    "Watch",
    "add_scorenet_analyzers",
    "decide",
    "orders_to_replay",
    "precompute",
    "register_allocation",
    "register_position_rule",
    "register_slippage",
    "save_plot",
]
