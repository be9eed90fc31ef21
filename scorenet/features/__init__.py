"""The market state: feature sets, the bars that a feature can read, and registration of user-defined sets."""

from . import builtin as _builtin  # noqa: F401, registers the package's sets
from .feature_set import FeatureSet, feature_set
from .registry import FEATURE_SETS, FeatureDefinition, register_feature_set
from .window import INPUTS, OPTIONAL_INPUTS, VOLATILITY_FLOOR, Bars

__all__ = [
    "FEATURE_SETS",
    "INPUTS",
    "OPTIONAL_INPUTS",
    "VOLATILITY_FLOOR",
    "Bars",
    "FeatureDefinition",
    "FeatureSet",
    "feature_set",
    "register_feature_set",
]
