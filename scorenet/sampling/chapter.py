"""The chapter's annealed Langevin dynamics for any score, unchanged, as a baseline.

References:
    Generative Modeling by Estimating Gradients of the Data Distribution (Song & Ermon, 2019), arXiv 1907.05600.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..score.divergence import Score
from ..score.mixture import Mixture
from ..score.noise import geometric_sigmas
from .registry import Scored, register_sampler

__all__ = ["chapter_langevin", "chapter_sampler"]

_SIGMA_MAX = 1.0  # the chapter's value


@register_sampler("chapter_langevin")
def chapter_sampler(
    model: Scored, base: Mixture, n: int, seed: int, *, sigma_min: float, sigma_max: float
) -> Tensor:
    """Draw n scaled states [n, d] as the chapter does: from N(0, I), with ten noise levels from 1 to sigma_min."""

    def score(x: Tensor, level: Tensor) -> Tensor:
        return model.score(x, float(level[0, 0]))

    high = min(max(_SIGMA_MAX, 2 * sigma_min), sigma_max)
    return chapter_langevin(score, n, base.dim, seed, sigma_min=sigma_min, sigma_max=high)


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

    Known flaws: each level ends with about a quarter too much variance, the start is too narrow for the data, and the
    noise of the last level is not removed.
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
