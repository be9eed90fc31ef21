"""Normalised log-density along the probability-flow ODE, in the VE and in the VP form of the noise.

The ODE transports p_sigma to p_sigma_max deterministically. Along a trajectory, d log p / d sigma is minus the
divergence of the velocity. Both forms use Heun's method and integrate the contribution of a standard normal in closed
form.

References:
    Score-Based Generative Modeling through Stochastic Differential Equations (Song et al., 2021), arXiv 2011.13456.
    Elucidating the Design Space of Diffusion-Based Generative Models (Karras et al., 2022), arXiv 2206.00364.
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor

from ..score.divergence import Field
from ..score.mixture import Mixture
from ..score.noise import geometric_sigmas, karras_sigmas
from .vp import LinearBeta, VpSchedule, alpha_of, to_ve, to_vp, vp_field

__all__ = ["flow_log_density", "vp_flow_log_density"]


@torch.no_grad()
def flow_log_density(
    field: Field, base: Mixture, x: Tensor, *, sigma: float, sigma_max: float, steps: int = 24
) -> Tensor:
    """Return log p_sigma(x) of scaled rows x [N, d], nats, [N], by dx/dsigma = -sigma s; 2 * steps field calls.

    At the end of a trajectory, the density of `base` at sigma_max stands in for that of the data.
    """
    dim = x.shape[1]
    gained = torch.zeros(len(x), dtype=x.dtype, device=x.device)
    place = x
    for here, there in itertools.pairwise(karras_sigmas(sigma, sigma_max, steps + 1).flip(0).tolist()):
        slope, rate = _ve_motion(field, place, here)
        ahead_slope, ahead_rate = _ve_motion(field, place + (there - here) * slope, there)
        place = place + (there - here) * 0.5 * (slope + ahead_slope)
        gained = gained + (there - here) * 0.5 * (rate + ahead_rate)
    standard = 0.5 * dim * math.log((1 + sigma_max**2) / (1 + sigma**2))
    return base.log_density(place, sigma_max) + standard + gained


@torch.no_grad()
def vp_flow_log_density(
    field: Field,
    base: Mixture,
    x: Tensor,
    *,
    sigma: float,
    sigma_max: float,
    steps: int = 24,
    schedule: VpSchedule | None = None,
) -> Tensor:
    """Return log p_sigma(x) of scaled rows x [N, d] (VE units), nats, [N], by the VP form du/dt = -beta/2 (u + s_vp).

    The same density as `flow_log_density`, up to discretisation error; 2 * steps field calls.
    """
    clock = schedule or LinearBeta()
    dim = x.shape[1]
    gained = torch.zeros(len(x), dtype=x.dtype, device=x.device)
    place = to_vp(x, sigma)
    times = [clock.time(level) for level in geometric_sigmas(sigma, sigma_max, steps + 1).tolist()]
    for here, there in itertools.pairwise(times):
        slope, rate = _vp_motion(field, clock, place, here)
        ahead_slope, ahead_rate = _vp_motion(field, clock, place + (there - here) * slope, there)
        place = place + (there - here) * 0.5 * (slope + ahead_slope)
        gained = gained + (there - here) * 0.5 * (rate + ahead_rate)
    last = base.log_density(to_ve(place, sigma_max), sigma_max) - dim * math.log(alpha_of(sigma_max))
    return last + gained + dim * math.log(alpha_of(sigma))


def _ve_motion(field: Field, x: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
    """Return the velocity, and its divergence minus the divergence of a standard normal's velocity."""
    value, divergence = field(x, torch.full((len(x), 1), sigma, dtype=x.dtype, device=x.device))
    return -sigma * value, -sigma * (divergence + x.shape[1] / (1 + sigma**2))


def _vp_motion(field: Field, clock: VpSchedule, u: Tensor, t: float) -> tuple[Tensor, Tensor]:
    value, divergence = vp_field(field, clock, u, t)
    half = 0.5 * clock.beta(t)
    return -half * (u + value), -half * (u.shape[1] + divergence)
