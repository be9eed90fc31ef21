"""Learn the score: noise levels, networks, denoisers, objectives, training, and the Gaussian mixture base."""

from . import builtin as _builtin  # noqa: F401, registers the package's names
from .denoiser import Denoiser
from .divergence import Field, Score, denoiser_field, hutchinson_field, sampled_field
from .fit import build_denoiser, fit_base, fit_denoiser
from .mixture import Mixture
from .networks import EnergyNet, Ensemble, Mlp
from .noise import geometric_sigmas, karras_sigmas
from .objectives import FrozenNoise, NoisyBatch, NoisyScore, dsm_residual
from .registry import NETWORKS, OBJECTIVES, NetworkFactory, Objective, register_network, register_objective
from .score_module import ScoreModule
from .signal_score import LevelScore, SignalScore
from .training import Recipe, TrainingLog, limit_worker_threads, seeded, threads

__all__ = [
    "NETWORKS",
    "OBJECTIVES",
    "Denoiser",
    "EnergyNet",
    "Ensemble",
    "Field",
    "FrozenNoise",
    "LevelScore",
    "Mixture",
    "Mlp",
    "NetworkFactory",
    "NoisyBatch",
    "NoisyScore",
    "Objective",
    "Recipe",
    "Score",
    "ScoreModule",
    "SignalScore",
    "TrainingLog",
    "build_denoiser",
    "denoiser_field",
    "dsm_residual",
    "fit_base",
    "fit_denoiser",
    "geometric_sigmas",
    "hutchinson_field",
    "karras_sigmas",
    "limit_worker_threads",
    "register_network",
    "register_objective",
    "sampled_field",
    "seeded",
    "threads",
]
