"""Conformal p-values of log-densities: calibration, adaptive thresholds, dependent rows and drift detection."""

from .adaptive import AdaptiveThreshold, adaptive_threshold
from .calibration import Calibration, coverage_error, ks_uniform
from .dependence import rejected_share
from .drift import first_alarm, population_stability

__all__ = [
    "AdaptiveThreshold",
    "Calibration",
    "adaptive_threshold",
    "coverage_error",
    "first_alarm",
    "ks_uniform",
    "population_stability",
    "rejected_share",
]
