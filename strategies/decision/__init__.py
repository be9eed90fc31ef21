"""Everything that decides a bar: pure functions from named facts to a target exposure and its reason."""

from .decide import agreement, choose, decide, is_silent, may_order, with_order
from .facts import Conditions, Decision, Observation
from .portfolio import AccountState, cap_factor, capped, exposure_of, watch_equity
from .reasons import KEEPS, REASONS, TRADE
from .rules import Rules

__all__ = [
    "KEEPS",
    "REASONS",
    "TRADE",
    "AccountState",
    "Conditions",
    "Decision",
    "Observation",
    "Rules",
    "agreement",
    "cap_factor",
    "capped",
    "choose",
    "decide",
    "exposure_of",
    "is_silent",
    "may_order",
    "watch_equity",
    "with_order",
]
