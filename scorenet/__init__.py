"""Score matching for market states: numbers in, numbers out."""

from scorenet.config import DensityConfig, ForwardConfig, ModelConfig, NoiseConfig, StateConfig
from scorenet.errors import (
    CheckpointError,
    ConfigError,
    Diverged,
    FeatureMismatch,
    ScorenetError,
    TooFewBars,
)
from scorenet.features import FeatureSet, feature_set
from scorenet.forward import ForwardReturn
from scorenet.learning import Market, learn
from scorenet.model import Evaluation, ScoreModel

__version__ = "0.1.0"

__all__ = [
    "CheckpointError",
    "ConfigError",
    "DensityConfig",
    "Diverged",
    "Evaluation",
    "FeatureMismatch",
    "FeatureSet",
    "ForwardConfig",
    "ForwardReturn",
    "Market",
    "ModelConfig",
    "NoiseConfig",
    "ScoreModel",
    "ScorenetError",
    "StateConfig",
    "TooFewBars",
    "feature_set",
    "learn",
]
