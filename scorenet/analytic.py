"""Closed-form scores and log-densities of Gaussians and Gaussian mixtures at any noise level: oracle and baseline."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

__all__ = ["Mixture"]


@dataclass(frozen=True)
class Mixture:
    """A Gaussian mixture whose density, score and denoiser at noise level sigma are exact.

    Attributes:
        weights: [K], summing to 1.
        means: [K, d].
        covariances: [K, d, d].
    """

    weights: Tensor
    means: Tensor
    covariances: Tensor

    @classmethod
    def gaussian(cls, x: Tensor) -> Self:
        """Fit one Gaussian to rows x [N, d]."""
        centred = x - x.mean(0)
        covariance = centred.T @ centred / max(len(x) - 1, 1)
        return cls(torch.ones(1, dtype=x.dtype), x.mean(0)[None], covariance[None])

    @classmethod
    def random(cls, dim: int, components: int, seed: int, spread: float = 2.0) -> Self:
        """Draw a mixture with unequal weights and rotated, unequal covariances."""
        g = torch.Generator().manual_seed(seed)
        weights = torch.rand(components, generator=g, dtype=torch.float64) + 0.3
        means = spread * torch.randn(components, dim, generator=g, dtype=torch.float64)
        mixing = torch.randn(components, dim, dim, generator=g, dtype=torch.float64) / math.sqrt(dim)
        scales = 0.3 + torch.rand(components, 1, dim, generator=g, dtype=torch.float64)
        factors = torch.linalg.qr(mixing).Q * scales
        return cls(weights / weights.sum(), means, factors @ factors.transpose(1, 2))

    def log_density(self, x: Tensor, sigma: float = 0.0) -> Tensor:
        """Return log p_sigma(x), [N]."""
        return torch.logsumexp(self._joint(x, sigma)[0], dim=1)

    def score(self, x: Tensor, sigma: float = 0.0) -> Tensor:
        """Return grad_x log p_sigma(x), [N, d]."""
        joint, pulls = self._joint(x, sigma)
        share: Tensor = torch.softmax(joint, dim=1)[..., None]
        return (share * pulls).sum(1)

    def sample(self, n: int, seed: int) -> Tensor:
        """Draw n rows [n, d]."""
        g = torch.Generator().manual_seed(seed)
        pick = torch.multinomial(self.weights, n, replacement=True, generator=g)
        factor = torch.linalg.cholesky(self.covariances)[pick]
        noise = torch.randn(n, self.means.shape[1], 1, generator=g, dtype=self.means.dtype)
        out: Tensor = self.means[pick] + (factor @ noise)[..., 0]
        return out

    def _joint(self, x: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
        dim = self.means.shape[1]
        noisy = self.covariances + sigma**2 * torch.eye(dim, dtype=self.means.dtype)
        factor = torch.linalg.cholesky(noisy)
        offset = x[:, None, :] - self.means  # [N, K, d]
        solved = torch.cholesky_solve(offset.permute(1, 2, 0), factor).permute(2, 0, 1)
        log_det = 2 * factor.diagonal(dim1=1, dim2=2).log().sum(1)
        log_normal = -0.5 * ((offset * solved).sum(-1) + log_det + dim * math.log(2 * math.pi))
        return self.weights.log() + log_normal, -solved
