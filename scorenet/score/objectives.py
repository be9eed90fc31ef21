"""Denoising score matching, and the frozen test that two nets are compared on.

References:
    A Connection Between Score Matching and Denoising Autoencoders (Vincent, 2011).
    Generative Modeling by Estimating Gradients of the Data Distribution (Song & Ermon, 2019), arXiv 1907.05600.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ..config import NoiseConfig
from .noise import draw_sigma, geometric_sigmas

__all__ = ["FrozenNoise", "MultiScaleDsm", "NoisyScore", "denoising_loss", "dsm_residual"]


class NoisyScore(Protocol):
    """Anything with a score at every noise level: a denoiser, an energy net, an ensemble."""

    def score(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        """Return grad_x log p_sigma(x), [N, d]."""


def dsm_residual(model: NoisyScore, x: Tensor, sigma: Tensor, noise: Tensor) -> Tensor:
    """Return sigma * score(x + sigma noise) + noise, [N, d]: zero in the mean where the score is right."""
    return sigma * model.score(x + sigma * noise, sigma) + noise


def denoising_loss(
    score: Callable[[Tensor], Tensor], x: Tensor, sigma: float, generator: torch.Generator
) -> Tensor:
    """Return E 1/2 |score(x + sigma e) + e / sigma|^2 of rows x [N, d], one noise level, on antithetic pairs.

    Minimal at the score of the data noised to sigma, for every score function of rows [N, d].
    """
    noise = _noise_like(x, generator)
    both = torch.cat((noise, -noise))
    residual = score(torch.cat((x, x)) + sigma * both) + both / sigma
    return 0.5 * residual.square().sum(1).mean()


@dataclass(frozen=True)
class MultiScaleDsm:
    """Denoising score matching over all noise levels at once, on antithetic pairs.

    The pair x +- sigma e cancels the term score(x) . e / sigma, which is pure noise and grows as sigma falls.
    """

    noise: NoiseConfig

    def __call__(self, model: NoisyScore, x: Tensor, generator: torch.Generator) -> Tensor:
        """Return the mean loss of clean scaled rows x [N, d]."""
        sigma = draw_sigma(len(x), self.noise, generator).to(x)
        noise = _noise_like(x, generator)
        # Both halves of the pairs in one pass: small batches cost by the call, not by the row.
        level = torch.cat((sigma, sigma))
        residual = dsm_residual(model, torch.cat((x, x)), level, torch.cat((noise, -noise)))
        # (1 + sigma^2) makes every level ask the raw network for a target of unit variance.
        return ((1.0 + level**2) * residual.square()).mean()


def _noise_like(x: Tensor, generator: torch.Generator) -> Tensor:
    # Drawn on the CPU whatever the device is, so that a GPU sees the same noise.
    return torch.randn(x.shape, generator=generator).to(x)


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
        sigmas = geometric_sigmas(noise.sigma_min, min(noise.sigma_max, 10.0), levels).to(x)
        self._x = x
        self._draws = [(sigma, _noise_like(x, generator)) for sigma in sigmas]

    def by_row(self, model: NoisyScore) -> Tensor:
        """Return each held-out row's share [N] of the loss that model selection minimises, on the CPU."""
        total = torch.zeros(len(self._x), device=self._x.device, dtype=self._x.dtype)
        for sigma, residual in self._residuals(model):
            weight = (1 + sigma**2) / len(self._draws)
            total += weight * residual.square().mean(1).view(2, -1).mean(0)
        return total.cpu()

    def by_sigma(self, model: NoisyScore) -> list[tuple[float, float]]:
        """Return (sigma, mean of |sigma score + noise|^2 per dimension): the chapter's DSM loss, level by level."""
        return [(float(sigma), float(residual.square().mean())) for sigma, residual in self._residuals(model)]

    def _residuals(self, model: NoisyScore) -> Iterator[tuple[Tensor, Tensor]]:
        rows = torch.cat((self._x, self._x))
        for sigma, noise in self._draws:
            with torch.no_grad():
                level = sigma.expand(len(rows), 1)
                yield sigma, dsm_residual(model, rows, level, torch.cat((noise, -noise)))

    def __call__(self, model: NoisyScore) -> float:
        """Return the level-weighted mean loss that model selection minimises."""
        losses = [(1 + sigma**2) * loss for sigma, loss in self.by_sigma(model)]
        return sum(losses) / len(losses)
