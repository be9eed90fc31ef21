"""Score matching for market states: numbers in, numbers out."""

from typing import TYPE_CHECKING, Any

from .config import DensityConfig, ForwardConfig, ModelConfig, NoiseConfig, StateConfig
from .errors import (
    CheckpointError,
    ConfigError,
    Diverged,
    FeatureMismatch,
    ScorenetError,
    TooFewBars,
)
from .features import FeatureSet, feature_set, register_feature_set
from .forward.distribution import ForwardReturn
from .learning import Market, learn
from .model import Evaluation, ScoreModel
from .sampling.registry import register_sampler
from .scenarios import ScenarioPaths, scenario_paths
from .score.registry import register_network, register_objective
from .signals import register_signal

if TYPE_CHECKING:
    from .table.estimator import ScoreDensity

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
    "ScenarioPaths",
    "ScoreDensity",
    "ScoreModel",
    "ScorenetError",
    "StateConfig",
    "TooFewBars",
    "feature_set",
    "learn",
    "register_feature_set",
    "register_network",
    "register_objective",
    "register_sampler",
    "register_signal",
    "scenario_paths",
]


def __getattr__(name: str) -> Any:
    # scikit-learn costs a second to import, and only this class needs it.
    if name == "ScoreDensity":
        from .table.estimator import ScoreDensity

        return ScoreDensity
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
