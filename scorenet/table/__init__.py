"""`ScoreDensity`, a scikit-learn density estimator for raw tables, and its parts."""

from .estimator import ScoreDensity

__all__ = ["ScoreDensity"]
