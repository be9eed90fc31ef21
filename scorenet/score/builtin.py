"""Register the objectives and networks of the package under the names that settings use."""

from __future__ import annotations

import torch

from ..config import NoiseConfig, StateConfig
from .denoiser import Denoiser
from .mixture import Mixture
from .networks.chapter import MultiScaleBody, ScoreNetworkBody
from .networks.energy import EnergyNet
from .networks.mlp import NoiseConditionalMlp
from .objectives.denoising import denoising, dsm
from .objectives.dual import dual
from .objectives.matching import implicit, sliced, sliced_vr
from .registry import register_network, register_objective

__all__ = ["energy", "multi_scale", "preconditioned", "score_network"]

for _objective in (dsm, denoising, implicit, sliced, sliced_vr):
    register_objective(_objective.__name__)(_objective)
register_objective("dual", needs_log_density=True)(dual)  # type: ignore[type-var]


@register_network("preconditioned")
def preconditioned(dim: int, state: StateConfig, noise: NoiseConfig, base: Mixture | None) -> Denoiser:
    """Build the default network: a residual MLP conditioned on the noise level and on the output of the base."""
    return Denoiser(NoiseConditionalMlp(dim, state.hidden, state.blocks), base)


@register_network("score_network")
def score_network(dim: int, state: StateConfig, noise: NoiseConfig, base: Mixture | None) -> Denoiser:
    """Build the chapter's `ScoreNetwork`, which has no noise level as input, inside the scalings of `Denoiser`."""
    return Denoiser(ScoreNetworkBody(dim, state.hidden, state.blocks), base)


@register_network("multi_scale")
def multi_scale(dim: int, state: StateConfig, noise: NoiseConfig, base: Mixture | None) -> Denoiser:
    """Build the chapter's `MultiScaleScoreNetwork` over the model's noise levels, inside the scalings of `Denoiser`."""
    return Denoiser(MultiScaleBody(dim, state.hidden, state.blocks, noise.sigma_min, noise.sigma_max), base)


@register_network("energy")
def energy(dim: int, state: StateConfig, noise: NoiseConfig, base: Mixture | None) -> EnergyNet:
    """Build an energy network: a log-density at every noise level, whose gradient is the score."""
    return EnergyNet(_standard_normal(dim) if base is None else base, state.hidden, state.blocks)


def _standard_normal(dim: int) -> Mixture:
    eye = torch.eye(dim, dtype=torch.float64)
    return Mixture(torch.ones(1, dtype=torch.float64), torch.zeros(1, dim, dtype=torch.float64), eye[None])
