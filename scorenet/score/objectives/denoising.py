"""Denoising score matching: the target is the noise that was added.

References:
    A Connection Between Score Matching and Denoising Autoencoders (Vincent, 2011).
    Generative Modeling by Estimating Gradients of the Data Distribution (Song & Ermon, 2019), arXiv 1907.05600.
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from .batch import NoisyBatch

__all__ = ["NoisyScore", "denoising", "dsm", "dsm_residual"]


class NoisyScore(Protocol):
    """An object with a score at every noise level: a denoiser, an energy net, an ensemble."""

    def score(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        """Return grad_x log p_sigma(x), [N, d]."""


def dsm_residual(model: NoisyScore, x: Tensor, sigma: Tensor, noise: Tensor) -> Tensor:
    """Return sigma * score(x + sigma noise) + noise, [N, d]; its conditional mean is zero for the true score."""
    return sigma * model.score(x + sigma * noise, sigma) + noise


def dsm(model: NoisyScore, batch: NoisyBatch) -> Tensor:
    """Return the mean of (1 + sigma^2) |sigma score(x + sigma e) + e|^2 / d over pairs of opposite noise.

    The pair x +- sigma e cancels the term score(x) . e / sigma, which has mean zero and a variance that grows as
    sigma falls.
    """
    # Both halves of the pairs in one pass: the cost of a small batch is per call, not per row.
    both = batch.mirrored()
    residual = dsm_residual(model, both.x, both.sigma, both.noise)
    # With (1 + sigma^2), the target of the raw network has unit variance at every level.
    return ((1.0 + both.sigma**2) * residual.square()).mean()


def denoising(model: NoisyScore, batch: NoisyBatch) -> Tensor:
    """Return the mean of sigma^2 |score(x + sigma e) + e / sigma|^2: the chapter's loss, one draw of noise per row."""
    return dsm_residual(model, batch.x, batch.sigma, batch.noise).square().sum(1).mean()
