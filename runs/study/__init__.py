"""Studies: many trials of one strategy, their rows on disk, and what the best of them is worth."""

from typing import TYPE_CHECKING

from scorenet.base.lazy import lazy_exports

if TYPE_CHECKING:
    from .cerebro import CerebroEvaluator, output_needs
    from .early_stop import MedianRule
    from .objectives import Objectives
    from .outcome import Evaluator, Outcome, Settings, daily_returns
    from .own_strategy import OwnStrategy
    from .replay import ReplayEvaluator
    from .setup import TrialSetup, known_settings
    from .study import Plan, Study

# Lazy: a worker process needs little of it until its evaluator comes.
_EXPORTS = {
    ".cerebro": ("CerebroEvaluator", "output_needs"),
    ".early_stop": ("MedianRule",),
    ".objectives": ("Objectives",),
    ".outcome": ("Evaluator", "Outcome", "Settings", "daily_returns"),
    ".own_strategy": ("OwnStrategy",),
    ".replay": ("ReplayEvaluator",),
    ".setup": ("TrialSetup", "known_settings"),
    ".study": ("Plan", "Study"),
}

__all__ = [
    "CerebroEvaluator",
    "Evaluator",
    "MedianRule",
    "Objectives",
    "Outcome",
    "OwnStrategy",
    "Plan",
    "ReplayEvaluator",
    "Settings",
    "Study",
    "TrialSetup",
    "daily_returns",
    "known_settings",
    "output_needs",
]

__getattr__, __dir__ = lazy_exports(__name__, _EXPORTS)
