"""Errors that a caller of scorenet may want to catch.

ScorenetError
├── DeadMarket        bars that teach nothing: a price that stands still, a feature with one value
├── FeatureMismatch   the bars or arrays lack columns that the model was trained on
├── TooFewBars        not enough history (need N, have M)
├── Diverged          training produced a non-finite loss; nothing was written
├── ConfigError       an unknown or impossible setting
└── CheckpointError   a model folder is missing, damaged, hostile or of another version
"""

from __future__ import annotations

__all__ = [
    "CheckpointError",
    "ConfigError",
    "DeadMarket",
    "Diverged",
    "FeatureMismatch",
    "ScorenetError",
    "TooFewBars",
]


class ScorenetError(Exception):
    """Base class of all errors raised by scorenet."""


class DeadMarket(ScorenetError, ValueError):
    """Report bars that teach nothing: a price that stands still, or a feature that never changes."""


class FeatureMismatch(ScorenetError, ValueError):
    """Report columns that differ from those the model was trained on."""


class TooFewBars(ScorenetError, ValueError):
    """Report how many bars a step needs and how many there are."""

    def __init__(self, need: int, have: int, purpose: str) -> None:
        super().__init__(f"too few bars to {purpose}: need {need:,}, have {have:,}")
        self.need, self.have = need, have


class Diverged(ScorenetError, ArithmeticError):
    """Report that a training loss became non-finite."""


class ConfigError(ScorenetError, ValueError):
    """Report an unknown setting or an impossible value."""


class CheckpointError(ScorenetError):
    """Report a model folder that cannot be used."""
