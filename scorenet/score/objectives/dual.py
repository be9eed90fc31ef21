"""Dual score matching: both derivatives of the noised log-density, along x and along ln sigma.

Along x the target is that of denoising score matching; along ln sigma it is |e|^2 - d. The second term connects the
noise levels: the largest level is normalised, so all others are too.

References:
    Learning Normalized Image Densities via Dual Score Matching (Guth, Kadkhodaie & Simoncelli, 2025), arXiv
    2506.05310.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from .batch import NoisyBatch

__all__ = ["NoisyLogDensity", "dual", "dual_loss"]


class NoisyLogDensity(Protocol):
    """An object with a log-density at every noise level, such as `EnergyNet`."""

    def log_density(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return log p_sigma(x), [N], nats, for rows x [N, d] at levels sigma [N, 1]."""


def dual(model: NoisyLogDensity, batch: NoisyBatch) -> Tensor:
    """Return the dual loss of a batch, on pairs of opposite noise."""
    both = batch.mirrored()
    return dual_loss(model, both.x, both.sigma, both.noise)


def dual_loss(
    model: NoisyLogDensity, x: Tensor, sigma: Tensor, noise: Tensor, *, time_weight: float = 0.5
) -> Tensor:
    """Return the mean loss of clean rows x [N, d] at given levels [N, 1] and noise [N, d].

    `time_weight` multiplies the part along ln sigma. Both parts are means over d terms whose noise has unit
    variance.
    """
    dim = x.shape[1]
    with torch.enable_grad():
        noisy = (x + sigma * noise).detach().requires_grad_()
        log_sigma = sigma.log().detach().requires_grad_()
        value = model.log_density(noisy, log_sigma.exp())
        along_x, along_sigma = torch.autograd.grad(value.sum(), (noisy, log_sigma), create_graph=True)
    weight = 1.0 + sigma.square()
    space = (weight * (sigma * along_x + noise).square()).mean()
    growth = noise.square().sum(1, keepdim=True) - dim
    # |e|^2 - d has variance 2 d.
    return space + time_weight * (weight * (along_sigma - growth).square()).mean() / (2 * dim)
