"""The panels of a search: its verdict, its surface, held-out figures, the best and the failed trials."""

from .folds import folds
from .panels import best_trials, failures, held_out, outcome
from .surface_panels import importance_panel, slices, surfaces

__all__ = [
    "best_trials",
    "failures",
    "folds",
    "held_out",
    "importance_panel",
    "outcome",
    "slices",
    "surfaces",
]
