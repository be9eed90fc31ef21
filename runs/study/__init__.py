"""Studies: many trials of one strategy, their rows on disk, and what the best of them is worth."""

from .cerebro import CerebroEvaluator, output_needs
from .early_stop import MedianRule
from .objectives import Objectives
from .outcome import Evaluator, Outcome, Settings, daily_returns
from .own_strategy import OwnStrategy
from .setup import TrialSetup, known_settings
from .study import Plan, Study

__all__ = [
    "CerebroEvaluator",
    "Evaluator",
    "MedianRule",
    "Objectives",
    "Outcome",
    "OwnStrategy",
    "Plan",
    "Settings",
    "Study",
    "TrialSetup",
    "daily_returns",
    "known_settings",
    "output_needs",
]
