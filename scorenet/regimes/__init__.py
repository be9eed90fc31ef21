"""Regimes: the basins of attraction of the score, their names, persistence and transitions, and a causal filter."""

from .fit import fit_regimes
from .regime_map import RegimeMap

__all__ = ["RegimeMap", "fit_regimes"]
