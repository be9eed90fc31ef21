"""The density of any raw table: `ScoreDensity`, a scikit-learn estimator, and what it is built from."""

from .estimator import ScoreDensity

__all__ = ["ScoreDensity"]
