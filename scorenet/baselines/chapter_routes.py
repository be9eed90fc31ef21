"""Baselines: the density and the sampler of the chapter, as written there. Do not use them for anything else.

References:
    Generative Modeling by Estimating Gradients of the Data Distribution (Song & Ermon, 2019), arXiv 1907.05600.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..score.divergence import Score
from ..score.noise import geometric_sigmas

__all__ = ["chapter_langevin", "path_integral"]


@torch.no_grad()
def path_integral(score: Score, x: Tensor, *, sigma: float = 0.01, steps: int = 100) -> Tensor:
    """Return log p(x) - log p(0), [N], nats, by a left Riemann sum of the score along the straight line from 0.

    Not normalised; right only for a score that is a gradient, and only if the steps resolve every valley between.
    """
    level = torch.full((len(x), 1), sigma, dtype=x.dtype, device=x.device)
    total = torch.zeros(len(x), dtype=x.dtype, device=x.device)
    for step in range(steps):
        total += (score(step / steps * x, level) * x).sum(1) / steps
    return total


@torch.no_grad()
def chapter_langevin(
    score: Score,
    n: int,
    dim: int,
    seed: int,
    *,
    sigma_min: float = 0.01,
    sigma_max: float = 1.0,
    levels: int = 10,
    steps: int = 100,
    step_size: float = 0.01,
    dtype: torch.dtype = torch.float64,
) -> Tensor:
    """Draw n rows [n, d] by annealed Langevin dynamics from N(0, I); levels * steps evaluations.

    Each level ends with about a quarter too much variance, the start is too narrow for the data, and nothing removes
    the noise of the last level.
    """
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, dim, generator=generator, dtype=dtype)
    for sigma in geometric_sigmas(sigma_min, sigma_max, levels).flip(0).tolist():
        alpha = step_size * sigma**2
        level = torch.full((n, 1), sigma, dtype=dtype)
        for _ in range(steps):
            noise = torch.randn(n, dim, generator=generator, dtype=dtype)
            x = x + alpha * score(x, level) + math.sqrt(2 * alpha) * noise
    return x
