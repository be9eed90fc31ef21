"""The decision at each bar: pure functions from observations to a target exposure and its reason."""

from .allocation import (
    ALLOCATIONS,
    ActiveSymbols,
    Allocation,
    divisors,
    needs_covariance,
    register_allocation,
)
from .caps import cap_factors, capped, fixed_exposure, has_caps, scale_to_caps, volatility_factor
from .decide import agreement, asked, choose, decide, is_silent, may_order, settled, with_order
from .facts import Conditions, Decision, Observation
from .forecast import NO_FORECAST, Forecast, HeldForecasts, filtered, forecast_of, is_unknown
from .portfolio import AccountState, exposure_of, watch_equity
from .position import (
    POSITION_RULES,
    PositionRule,
    confidence,
    cvar,
    kelly,
    needs_tails,
    proportional,
    register_position_rule,
)
from .reasons import KEEPS, REASONS, REDUCED, TRADE, WARMUP
from .risk_parity import TrailingReturns, equal_risk_weights, shrunk_covariance
from .rules import Rules

__all__ = [
    "ALLOCATIONS",
    "KEEPS",
    "NO_FORECAST",
    "POSITION_RULES",
    "REASONS",
    "REDUCED",
    "TRADE",
    "WARMUP",
    "AccountState",
    "ActiveSymbols",
    "Allocation",
    "Conditions",
    "Decision",
    "Forecast",
    "HeldForecasts",
    "Observation",
    "PositionRule",
    "Rules",
    "TrailingReturns",
    "agreement",
    "asked",
    "cap_factors",
    "capped",
    "choose",
    "confidence",
    "cvar",
    "decide",
    "divisors",
    "equal_risk_weights",
    "exposure_of",
    "filtered",
    "fixed_exposure",
    "forecast_of",
    "has_caps",
    "is_silent",
    "is_unknown",
    "kelly",
    "may_order",
    "needs_covariance",
    "needs_tails",
    "proportional",
    "register_allocation",
    "register_position_rule",
    "scale_to_caps",
    "settled",
    "shrunk_covariance",
    "volatility_factor",
    "watch_equity",
    "with_order",
]
