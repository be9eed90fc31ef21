"""Variance explained by the denoiser beyond the best Gaussian denoiser, by noise level.

References:
    Extrapolation, Interpolation, and Smoothing of Stationary Time Series (Wiener, 1949): the best linear denoiser.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..score.mixture import Mixture
from ..score.objectives import NoisyScore, dsm_residual

__all__ = ["Explained", "explained_variance", "gaussian_of"]


class Explained(NamedTuple):
    """Denoising on held-out rows at one noise level.

    dsm_loss: mean of |sigma score + noise|^2 per dimension (1: the noise is not predicted at all; 0: perfectly).
    gaussian_loss: the same for the best Gaussian, the Wiener denoiser.
    explained_variance: 1 - dsm_loss / gaussian_loss; 0 for a net that uses mean and covariance only.
    score_accuracy: correlation of the score with its target -noise / sigma, a lower bound of the correlation with the
        true score.
    """

    sigma: float
    dsm_loss: float
    gaussian_loss: float
    explained_variance: float
    score_accuracy: float


def gaussian_of(mixture: Mixture) -> Mixture:
    """Return the one Gaussian with the mean and covariance of a mixture."""
    return Mixture(torch.ones_like(mixture.weights[:1]), mixture.mean[None], mixture.covariance[None])


def explained_variance(
    model: NoisyScore, gaussian: Mixture, x: Tensor, sigmas: Tensor, *, seed: int = 0
) -> list[Explained]:
    """Compare a score model with the denoiser of `gaussian` on clean scaled rows x [N, d], at each of `sigmas`."""
    generator = torch.Generator().manual_seed(seed)
    found = []
    with torch.no_grad():
        for sigma in sigmas.tolist():
            noise = torch.randn(x.shape, generator=generator).to(x)
            level = torch.full((2 * len(x), 1), sigma, dtype=x.dtype, device=x.device)
            rows, both = torch.cat((x, x)), torch.cat((noise, -noise))
            residual = dsm_residual(model, rows, level, both)
            loss = float(residual.square().mean())
            linear = float(dsm_residual(gaussian, rows, level, both).square().mean())
            accuracy = _correlation((both - residual).flatten(), both.flatten())
            found.append(Explained(sigma, loss, linear, 1.0 - loss / linear, accuracy))
    return found


def _correlation(a: Tensor, b: Tensor) -> float:
    a, b = a - a.mean(), b - b.mean()
    scale = float(torch.linalg.vector_norm(a) * torch.linalg.vector_norm(b))
    return float(a @ b) / scale if scale > 0 else 0.0
