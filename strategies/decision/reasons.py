"""The reasons of a decision: their codes and names, and the codes that keep the position."""

from __future__ import annotations

from typing import Final

__all__ = [
    "BELOW_MINIMUM",
    "COOLDOWN",
    "DIRECTION",
    "DOUBTFUL",
    "DRAWDOWN_STOP",
    "DRIFT",
    "EXPIRED",
    "HOLD",
    "INCONSISTENT",
    "KEEPS",
    "KILL_SWITCH",
    "LOW_CONFIDENCE",
    "OUT_OF_DISTRIBUTION",
    "REASONS",
    "REDUCED",
    "REFUSED",
    "REGIME",
    "RUINED",
    "STALE",
    "TRADE",
    "WARMUP",
]

# Integers, because compiled code needs them and a row of the decision record stores one byte.
WARMUP: Final = 0
TRADE: Final = 1
HOLD: Final = 2
OUT_OF_DISTRIBUTION: Final = 3
LOW_CONFIDENCE: Final = 4
INCONSISTENT: Final = 5
COOLDOWN: Final = 6
STALE: Final = 7
BELOW_MINIMUM: Final = 8
DRAWDOWN_STOP: Final = 9
KILL_SWITCH: Final = 10
RUINED: Final = 11
EXPIRED: Final = 12
DRIFT: Final = 13
REDUCED: Final = 14
REGIME: Final = 15
DOUBTFUL: Final = 16
DIRECTION: Final = 17
REFUSED: Final = 18

REASONS = (
    "warmup",
    "trade",
    "hold",
    "out_of_distribution",
    "low_confidence",
    "inconsistent",
    "cooldown",
    "stale",
    "below_minimum",
    "drawdown_stop",
    "kill_switch",
    "ruined",
    "expired",
    "drift",
    "reduced",
    "regime",
    "doubtful",
    "direction",
    "refused",
)
"""Name of each code, by position."""

KEEPS = (WARMUP, HOLD, COOLDOWN)
"""Codes for which no order is sent: the position stays as it is."""
