"""Baseline: the chapter's path-integral density, unchanged, for comparisons only.

References:
    Generative Modeling by Estimating Gradients of the Data Distribution (Song & Ermon, 2019), arXiv 1907.05600.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..sampling.chapter import chapter_langevin
from ..score.divergence import Score

__all__ = ["chapter_langevin", "path_integral"]


@torch.no_grad()
def path_integral(score: Score, x: Tensor, *, sigma: float = 0.01, steps: int = 100) -> Tensor:
    """Return log p(x) - log p(0), [N], nats, by a left Riemann sum of the score along the straight line from 0.

    It is not normalised. It is right only if the score is a gradient and the steps resolve all changes on the line.
    """
    level = torch.full((len(x), 1), sigma, dtype=x.dtype, device=x.device)
    total = torch.zeros(len(x), dtype=x.dtype, device=x.device)
    for step in range(steps):
        total += (score(step / steps * x, level) * x).sum(1) / steps
    return total
