"""Normalised log-density from denoising errors alone (pointwise I-MMSE relation), without network derivatives.

With y = x + tau e and snr = 1/tau^2, d log p(x) / d snr is half the squared error of the best denoiser, up to a term
that is the same for every distribution. That term cancels in the difference of two distributions p and q, and with
the same e in both, most of the noise cancels too:

    log p(x) - log q(x) = 1/2 integral over snr of E_e[|x - D_q(y)|^2 - |x - D_p(y)|^2].

Here x already carries noise of size a, so the denoiser at tau is y + tau^2 s(y, sqrt(a^2 + tau^2)).

References:
    Information-Theoretic Diffusion (Kong, Brekelmans & Ver Steeg, 2023), arXiv 2302.03792.
    Mutual Information and Minimum Mean-Square Error in Gaussian Channels (Guo, Shamai & Verdu, 2005).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..score.divergence import Score
from ..score.mixture import Mixture
from .heat import legendre_sigmas

__all__ = ["immse_log_density"]

_LOWEST = 0.1  # of sigma: below it the integrand falls as tau^2, and its tail is added in closed form


@torch.no_grad()
def immse_log_density(
    score: Score,
    base: Mixture,
    x: Tensor,
    *,
    sigma: float,
    sigma_max: float,
    nodes: int = 12,
    pairs: int = 8,
    seed: int = 0,
) -> Tensor:
    """Return log p_sigma(x) of scaled rows x [N, d], nats, [N]: that of the mixture `base` plus a correction.

    About 2 * nodes * pairs network evaluations per row. All rows share the same noise directions, which are antithetic
    and mutually orthogonal.
    """
    noise = _directions(pairs, x.shape[1], seed).to(x)
    low = _LOWEST * sigma
    taus, weights = legendre_sigmas(low, sigma_max, nodes)
    first = torch.tensor([low], dtype=taus.dtype)
    # Below `low` the integrand is its value there times (tau / low)^2: half of that value is the rest of the integral.
    taus, weights = torch.cat((first, taus)), torch.cat((torch.full_like(first, 0.5), weights))
    out = base.log_density(x, sigma)
    for tau, weight in zip(taus.tolist(), weights.tolist(), strict=True):
        level = torch.full((len(x), 1), math.hypot(sigma, tau), dtype=x.dtype, device=x.device)
        for row in noise:
            for e in (row, -row):
                y = x + tau * e
                gain = _saving(score(y, level), tau, e) - _saving(base.score(y, level), tau, e)
                out -= weight / (2 * pairs) * gain
    return out


def _saving(score: Tensor, tau: float, e: Tensor) -> Tensor:
    # (|x - D(y)|^2 - tau^2 |e|^2) / tau^2 with x - D = -tau (e + tau s): the term common to p and q is left out.
    return 2 * tau * (score * e).sum(1) + tau**2 * score.square().sum(1)


def _directions(pairs: int, dim: int, seed: int) -> Tensor:
    """Return [pairs, dim] standard normal vectors, orthogonal in groups of dim (lower variance, no bias)."""
    g = torch.Generator().manual_seed(seed)
    rotated = []
    for _ in range(math.ceil(pairs / dim)):
        frame = torch.linalg.qr(torch.randn(dim, dim, generator=g, dtype=torch.float64))[0]
        lengths = torch.randn(dim, dim, generator=g, dtype=torch.float64).norm(dim=1, keepdim=True)
        rotated.append(frame.T * lengths)
    return torch.cat(rotated)[:pairs]
