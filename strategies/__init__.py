"""Backtrader classes: the score strategy, its indicators, an honest perpetual account, and analyzers."""

from .account.broker import PerpetualBroker
from .account.perpetual import PerpetualCommission
from .analyzers import (
    Decisions,
    Drawdown,
    EquityCurve,
    Funding,
    InDistribution,
    Orders,
    Sharpe,
    Sortino,
    Trades,
)
from .baselines import BuyAndHold, ReplayOrders, SignalStrategy, orders_to_replay
from .decision import Conditions, Decision, Observation, Rules, decide
from .indicators import MarketScore, MarketState
from .live_strategy import LiveScoreStrategy, Watch
from .models import precompute
from .score_strategy import ScoreStrategy

__all__ = [
    "BuyAndHold",
    "Conditions",
    "Decision",
    "Decisions",
    "Drawdown",
    "EquityCurve",
    "Funding",
    "InDistribution",
    "LiveScoreStrategy",
    "MarketScore",
    "MarketState",
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
    "Trades",
    "Watch",
    "decide",
    "orders_to_replay",
    "precompute",
]
