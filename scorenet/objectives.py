"""Score-matching objectives, one callable a formulation.

References:
    A Connection Between Score Matching and Denoising Autoencoders (Vincent, 2011).
    Generative Modeling by Estimating Gradients of the Data Distribution (Song & Ermon, 2019), arXiv 1907.05600.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scorenet.config import NoiseConfig
from scorenet.denoiser import Denoiser
from scorenet.noise import draw_sigma, geometric_sigmas

__all__ = ["FrozenNoise", "MultiScaleDsm", "dsm_residual"]


def dsm_residual(denoiser: Denoiser, x: Tensor, sigma: Tensor, noise: Tensor) -> Tensor:
    """Return sigma * score(x + sigma noise) + noise, [N, d]: zero in the mean where the score is right."""
    return sigma * denoiser.score(x + sigma * noise, sigma) + noise


def _weighted(denoiser: Denoiser, x: Tensor, sigma: Tensor, noise: Tensor) -> Tensor:
    # (1 + sigma^2) makes every level ask the raw network for a target of unit variance.
    return (1.0 + sigma**2) * dsm_residual(denoiser, x, sigma, noise).square().mean(dim=1, keepdim=True)


@dataclass(frozen=True)
class MultiScaleDsm:
    """Denoising score matching over all noise levels at once, on antithetic pairs.

    The pair x +- sigma e cancels the term score(x) . e / sigma, which is pure noise and grows as sigma falls.
    """

    noise: NoiseConfig

    def __call__(self, denoiser: Denoiser, x: Tensor, generator: torch.Generator) -> Tensor:
        """Return the mean loss of clean scaled rows x [N, d]."""
        sigma = draw_sigma(len(x), self.noise, generator)
        noise = torch.randn(x.shape, generator=generator)
        pair = _weighted(denoiser, x, sigma, noise) + _weighted(denoiser, x, sigma, -noise)
        return 0.5 * pair.mean()


class FrozenNoise:
    """Measure the multi-scale loss on held-out rows with noise drawn once, so that two nets see the same test.

    With one fresh draw per check the best epoch is the luckiest draw.
    """

    def __init__(
        self, x: Tensor, noise: NoiseConfig, *, levels: int = 12, rows: int = 2048, seed: int = 0
    ) -> None:
        generator = torch.Generator().manual_seed(seed)
        if len(x) > rows:
            x = x[torch.linspace(0, len(x) - 1, rows).long()]
        sigmas = geometric_sigmas(noise.sigma_min, min(noise.sigma_max, 10.0), levels).to(x.dtype)
        self._x = x
        self._draws = [(sigma, torch.randn(x.shape, generator=generator).to(x.dtype)) for sigma in sigmas]

    def by_sigma(self, denoiser: Denoiser) -> list[tuple[float, float]]:
        """Return (sigma, mean of |sigma score + noise|^2 per dimension): the chapter's DSM loss, level by level."""
        out = []
        with torch.no_grad():
            for sigma, noise in self._draws:
                column = sigma.expand(len(self._x), 1)
                both = [
                    dsm_residual(denoiser, self._x, column, sign * noise).square().mean() for sign in (1, -1)
                ]
                out.append((float(sigma), float(sum(both)) / 2))
        return out

    def __call__(self, denoiser: Denoiser) -> float:
        """Return the level-weighted mean loss that model selection minimises."""
        losses = [(1 + sigma**2) * loss for sigma, loss in self.by_sigma(denoiser)]
        return sum(losses) / len(losses)
