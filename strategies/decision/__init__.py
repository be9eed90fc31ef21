"""The decision at each bar: pure functions from observations to a target exposure and its reason."""

from .decide import agreement, choose, decide, is_silent, may_order, with_order
from .facts import Conditions, Decision, Observation
from .portfolio import AccountState, cap_factor, capped, exposure_of, watch_equity
from .position import POSITION_RULES, PositionRule, confidence, register_position_rule
from .reasons import KEEPS, REASONS, TRADE
from .rules import Rules

__all__ = [
    "KEEPS",
    "POSITION_RULES",
    "REASONS",
    "TRADE",
    "AccountState",
    "Conditions",
    "Decision",
    "Observation",
    "PositionRule",
    "Rules",
    "agreement",
    "cap_factor",
    "capped",
    "choose",
    "confidence",
    "decide",
    "exposure_of",
    "is_silent",
    "may_order",
    "register_position_rule",
    "watch_equity",
    "with_order",
]
