"""`scorenet optimize`: search the settings of a strategy, and judge the best after that many trials."""

from ..search import GridSampler, OptunaSampler, RandomSampler, SearchSpace
from ..study import CerebroEvaluator, Objectives, Outcome, Plan, Study, TrialSetup
from .command import optimize
from .request import Request

__all__ = [
    "CerebroEvaluator",
    "GridSampler",
    "Objectives",
    "OptunaSampler",
    "Outcome",
    "Plan",
    "RandomSampler",
    "Request",
    "SearchSpace",
    "Study",
    "TrialSetup",
    "optimize",
]
