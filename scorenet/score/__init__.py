"""Learn the score: noise levels, networks, denoisers, objectives, training, and the Gaussian mixture base."""

from .denoiser import Denoiser
from .divergence import Field, Score, denoiser_field, hutchinson_field, sampled_field
from .fit import build_denoiser, fit_base, fit_denoiser
from .mixture import Mixture
from .networks import Mlp
from .noise import geometric_sigmas, karras_sigmas
from .objectives import FrozenNoise, NoisyScore, dsm_residual
from .signal_score import LevelScore
from .training import Recipe, TrainingLog, calm_worker, seeded, threads

__all__ = [
    "Denoiser",
    "Field",
    "FrozenNoise",
    "LevelScore",
    "Mixture",
    "Mlp",
    "NoisyScore",
    "Recipe",
    "Score",
    "TrainingLog",
    "build_denoiser",
    "calm_worker",
    "denoiser_field",
    "dsm_residual",
    "fit_base",
    "fit_denoiser",
    "geometric_sigmas",
    "hutchinson_field",
    "karras_sigmas",
    "sampled_field",
    "seeded",
    "threads",
]
