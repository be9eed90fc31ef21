"""Backtrader classes: the score strategy, its indicators, an honest perpetual account, and analyzers."""

from strategies.analyzers import (
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
from strategies.baselines import BuyAndHold, ReplayOrders, SignalStrategy, orders_to_replay
from strategies.broker import PerpetualBroker
from strategies.decision import Decision, Observation, Rules, decide
from strategies.indicators import MarketScore, MarketState
from strategies.live_strategy import Conditions, LiveScoreStrategy, Watch
from strategies.models import precompute
from strategies.perpetual import PerpetualCommission
from strategies.score_strategy import ScoreStrategy

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
