"""Draw market states from the score model.

References:
    Elucidating the Design Space of Diffusion-Based Generative Models (Karras et al., 2022), algorithm 1.
"""

from __future__ import annotations

import torch
from torch import Tensor

from scorenet.analytic import Mixture
from scorenet.denoiser import Denoiser
from scorenet.noise import karras_sigmas

__all__ = ["heun"]


@torch.no_grad()
def heun(
    denoiser: Denoiser,
    base: Mixture,
    n: int,
    seed: int,
    *,
    sigma_min: float = 0.05,
    sigma_max: float = 20.0,
    steps: int = 18,
) -> Tensor:
    """Draw n scaled states [n, d] by Heun steps down the probability-flow ODE and a last Tweedie step.

    The start is the mean and covariance of `base` widened to sigma_max, not N(0, sigma_max^2): it has the
    data's covariance.
    2 * steps - 1 network evaluations.
    """
    dim = base.means.shape[1]
    generator = torch.Generator().manual_seed(seed)
    noisy = base.covariance + sigma_max**2 * torch.eye(dim, dtype=base.means.dtype)
    start = torch.randn(n, dim, generator=generator, dtype=base.means.dtype)
    x: Tensor = base.mean + start @ torch.linalg.cholesky(noisy).T
    sigmas = karras_sigmas(sigma_min, sigma_max, steps).to(x.dtype)
    for here, there in zip(sigmas, [*sigmas[1:], None], strict=True):
        slope = -here * denoiser.score(x, here)
        if there is None:
            x = x - here * slope  # Tweedie: from the last noise level straight to the clean state
            break
        ahead = x + (there - here) * slope
        x = x + (there - here) * 0.5 * (slope - there * denoiser.score(ahead, there))
    return x
