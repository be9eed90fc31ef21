"""Noise levels: the distribution of sigma in training, and the noise schedules of samplers and quadratures.

References:
    Elucidating the Design Space of Diffusion-Based Generative Models (Karras et al., 2022), arXiv 2206.00364.
    Generative Modeling by Estimating Gradients of the Data Distribution (Song & Ermon, 2019), arXiv 1907.05600.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..config import NoiseConfig

__all__ = ["draw_sigma", "geometric_sigmas", "karras_sigmas"]


def draw_sigma(n: int, noise: NoiseConfig, generator: torch.Generator) -> Tensor:
    """Draw training noise levels [n, 1], log-normal and clipped to the range of `noise`."""
    normal = torch.randn(n, 1, generator=generator)
    return (noise.log_mean + noise.log_std * normal).exp().clamp(noise.sigma_min, noise.sigma_max)


def geometric_sigmas(sigma_min: float, sigma_max: float, n: int) -> Tensor:
    """Return [n] float64 levels equally spaced in ln sigma, ascending."""
    return torch.linspace(math.log(sigma_min), math.log(sigma_max), n, dtype=torch.float64).exp()


def karras_sigmas(sigma_min: float, sigma_max: float, n: int, rho: float = 7.0) -> Tensor:
    """Return [n] float64 levels, descending, with most of the steps at small sigma."""
    low, high = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
    return torch.linspace(high, low, n, dtype=torch.float64) ** rho
