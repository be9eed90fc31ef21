"""The decision at each bar: pure functions from observations to a target exposure and its reason."""

from .decide import agreement, choose, decide, is_silent, may_order, with_order
from .facts import Conditions, Decision, Observation
from .forecast import NO_FORECAST, Forecast, HeldForecasts, forecast_of
from .portfolio import AccountState, cap_factor, capped, exposure_of, watch_equity
from .position import (
    POSITION_RULES,
    PositionRule,
    confidence,
    cvar,
    kelly,
    needs_tails,
    register_position_rule,
)
from .reasons import KEEPS, REASONS, TRADE
from .rules import Rules

__all__ = [
    "KEEPS",
    "NO_FORECAST",
    "POSITION_RULES",
    "REASONS",
    "TRADE",
    "AccountState",
    "Conditions",
    "Decision",
    "Forecast",
    "HeldForecasts",
    "Observation",
    "PositionRule",
    "Rules",
    "agreement",
    "cap_factor",
    "capped",
    "choose",
    "confidence",
    "cvar",
    "decide",
    "exposure_of",
    "forecast_of",
    "is_silent",
    "kelly",
    "may_order",
    "needs_tails",
    "register_position_rule",
    "watch_equity",
    "with_order",
]
