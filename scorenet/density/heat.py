"""Normalised log-density by the heat equation at fixed x: the reference method.

At fixed x the noised density obeys d log p_sigma(x) / d ln sigma = sigma^2 (div s + |s|^2). A mixture q close to p
obeys the same equation, with closed-form terms, and at a large sigma_max p and q are practically equal. So

    log p_a(x) = log q_a(x) - integral from ln a to ln sigma_max of
                 sigma^2 [(div s_p + |s_p|^2) - (div s_q + |s_q|^2)] d ln sigma.

The method needs no path through regions without data and no unknown constant. The quadrature covers only the
difference between p and q. It is Gauss-Legendre in arctan(sigma): the difference lies around sigma = 1 and falls as
sigma^-2 beyond, where nodes in ln sigma would be wasted.

References:
    Score-Based Generative Modeling through Stochastic Differential Equations (Song et al., 2021), arXiv 2011.13456.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..base.terminal.progress import progress_bar
from ..score.divergence import Field
from ..score.mixture import Mixture
from ..score.side_by_side import keep_going

__all__ = ["arctan_sigmas", "heat_log_density", "legendre_sigmas"]


def heat_log_density(
    field: Field,
    base: Mixture,
    x: Tensor,
    *,
    sigma: float,
    sigma_max: float,
    nodes: int = 10,
    block: int = 512,
    progress: bool = False,
) -> Tensor:
    """Return log p_sigma(x) of scaled rows x [N, d], nats, [N]; nodes * N calls of the field, row by row.

    `base` is q: any mixture with about the mean and covariance of the data. The better it fits, the fewer nodes are
    needed.
    """
    out = base.log_density(x, sigma)
    sigmas, weights = arctan_sigmas(sigma, sigma_max, nodes)
    blocks = range(0, len(x), block)
    for begin in progress_bar(blocks, name="log-density", unit="block", shown=progress):
        keep_going()
        rows = x[begin : begin + block]
        for level, weight in zip(sigmas.tolist(), weights.tolist(), strict=True):
            column = torch.full((len(rows), 1), level, dtype=x.dtype, device=x.device)
            difference = _growth(*field(rows, column)) - _growth(*base.score_and_divergence(rows, column))
            out[begin : begin + block] -= weight * level**2 * difference
    return out


def legendre_sigmas(low: float, high: float, n: int) -> tuple[Tensor, Tensor]:
    """Return [n] float64 levels and the weights of Gauss-Legendre quadrature in ln sigma between two levels."""
    places, weights = _legendre(math.log(low), math.log(high), n)
    return places.exp(), weights


def arctan_sigmas(low: float, high: float, n: int) -> tuple[Tensor, Tensor]:
    """Return [n] float64 levels and weights for integrals over ln sigma, by Gauss-Legendre in arctan(sigma)."""
    angles, weights = _legendre(math.atan(low), math.atan(high), n)
    # d ln sigma = d angle / (sin(angle) cos(angle)).
    return angles.tan(), weights * 2 / (2 * angles).sin()


def _legendre(low: float, high: float, n: int) -> tuple[Tensor, Tensor]:
    """Return [n] float64 nodes and weights of Gauss-Legendre quadrature between two numbers."""
    # Golub & Welsch: nodes and weights from the Jacobi matrix of the Legendre polynomials.
    k = torch.arange(1, n, dtype=torch.float64)
    off = k / (4 * k**2 - 1).sqrt()
    values, vectors = torch.linalg.eigh(torch.diag(off, 1) + torch.diag(off, -1))
    middle, half = (low + high) / 2, (high - low) / 2
    return middle + half * values, half * 2 * vectors[0] ** 2


def _growth(score: Tensor, divergence: Tensor) -> Tensor:
    return divergence + score.square().sum(1)
