"""What a search tries: settings and their values, constraints between them, and samplers that propose trials."""

from .constraints import Constraint
from .dimensions import Choice, Dimension, FloatRange, IntRange
from .known import LEVELS, KnownSettings
from .optuna_sampler import OptunaSampler
from .samplers import GridSampler, Proposal, RandomSampler, Sampler, ask_many
from .space import SearchSpace

__all__ = [
    "LEVELS",
    "Choice",
    "Constraint",
    "Dimension",
    "FloatRange",
    "GridSampler",
    "IntRange",
    "KnownSettings",
    "OptunaSampler",
    "Proposal",
    "RandomSampler",
    "Sampler",
    "SearchSpace",
    "ask_many",
]
