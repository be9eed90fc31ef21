"""Training losses of a score: denoising, implicit, sliced and dual; and the held-out loss for model selection."""

from .batch import NoisyBatch
from .denoising import NoisyScore, denoising, dsm, dsm_residual
from .dual import dual
from .frozen_noise import FrozenNoise
from .matching import implicit, sliced, sliced_vr

__all__ = [
    "FrozenNoise",
    "NoisyBatch",
    "NoisyScore",
    "denoising",
    "dsm",
    "dsm_residual",
    "dual",
    "implicit",
    "sliced",
    "sliced_vr",
]
