"""The variance-preserving noise process, and its exact conversion to the variance-exploding form used elsewhere.

Variance-exploding (VE): x = x_0 + sigma e. Variance-preserving (VP), du = -beta(t)/2 u dt + sqrt(beta(t)) dw:
u = alpha x_0 + sqrt(1 - alpha^2) e with alpha^2 = exp(-integral of beta). Both describe the same process:

    u = alpha x,   alpha = 1 / sqrt(1 + sigma^2),   s_vp(u, t) = s(x, sigma) / alpha,
    log p_vp(u) = log p(x) - d ln alpha.

References:
    Score-Based Generative Modeling through Stochastic Differential Equations (Song et al., 2021), arXiv 2011.13456.
    Denoising Diffusion Probabilistic Models (Ho et al., 2020), arXiv 2006.11239.
    Improved Denoising Diffusion Probabilistic Models (Nichol & Dhariwal, 2021), arXiv 2102.09672.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ..score.divergence import Field, Score

__all__ = ["CosineBeta", "LinearBeta", "VpSchedule", "alpha_of", "to_ve", "to_vp", "vp_field", "vp_score"]


class VpSchedule(Protocol):
    """A schedule of the VP process over t in [0, 1]."""

    def beta(self, t: float) -> float:
        """Return the noise rate beta at t."""
        ...

    def sigma(self, t: float) -> float:
        """Return the VE noise level at t."""
        ...

    def time(self, sigma: float) -> float:
        """Return the t at which the VE noise level is sigma; the inverse of `sigma`."""
        ...


@dataclass(frozen=True)
class LinearBeta:
    """beta(t) = low + t (high - low)."""

    low: float = 0.1
    high: float = 20.0

    def beta(self, t: float) -> float:
        return self.low + t * (self.high - self.low)

    def sigma(self, t: float) -> float:
        return math.sqrt(math.expm1(self.low * t + 0.5 * (self.high - self.low) * t**2))

    def time(self, sigma: float) -> float:
        grown, slope = math.log1p(sigma**2), self.high - self.low
        # The root of slope/2 t^2 + low t = grown, in the form without cancellation error.
        return 2 * grown / (self.low + math.sqrt(self.low**2 + 2 * slope * grown))


@dataclass(frozen=True)
class CosineBeta:
    """alpha(t) = cos(pi t / 2): sigma(t) = tan(pi t / 2), beta(t) = pi tan(pi t / 2)."""

    def beta(self, t: float) -> float:
        return math.pi * math.tan(0.5 * math.pi * t)

    def sigma(self, t: float) -> float:
        return math.tan(0.5 * math.pi * t)

    def time(self, sigma: float) -> float:
        return 2 / math.pi * math.atan(sigma)


def alpha_of(sigma: float) -> float:
    """Return the VP signal scale at VE noise level sigma."""
    return 1.0 / math.sqrt(1.0 + sigma**2)


def to_vp(x: Tensor, sigma: float) -> Tensor:
    """Return u [N, d] of VE rows x [N, d] at noise level sigma."""
    return alpha_of(sigma) * x


def to_ve(u: Tensor, sigma: float) -> Tensor:
    """Return x [N, d] of VP rows u [N, d] at noise level sigma; the inverse of `to_vp`."""
    return u / alpha_of(sigma)


def vp_score(score: Score, schedule: VpSchedule, u: Tensor, t: float) -> Tensor:
    """Return grad_u log p_vp(u, t), [N, d], of a VE score."""
    sigma = schedule.sigma(t)
    return score(to_ve(u, sigma), _column(u, sigma)) / alpha_of(sigma)


def vp_field(field: Field, schedule: VpSchedule, u: Tensor, t: float) -> tuple[Tensor, Tensor]:
    """Return grad_u log p_vp(u, t), [N, d], and its divergence, [N], of a VE field."""
    sigma = schedule.sigma(t)
    value, divergence = field(to_ve(u, sigma), _column(u, sigma))
    return value / alpha_of(sigma), divergence / alpha_of(sigma) ** 2


def _column(u: Tensor, sigma: float) -> Tensor:
    return torch.full((len(u), 1), sigma, dtype=u.dtype, device=u.device)
