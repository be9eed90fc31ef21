"""The denoiser D(x, sigma) = E[clean | noisy = x] and the score that Tweedie's formula reads from it.

References:
    Elucidating the Design Space of Diffusion-Based Generative Models (Karras et al., 2022), arXiv 2206.00364.
    Tweedie's Formula and Selection Bias (Efron, 2011).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

__all__ = ["Denoiser", "Preconditioning", "precondition"]


class Preconditioning(NamedTuple):
    """The four scalings, each [N, 1], that keep a network's input and target at unit variance for any sigma."""

    c_skip: Tensor
    c_out: Tensor
    c_in: Tensor
    c_noise: Tensor


def precondition(sigma: Tensor) -> Preconditioning:
    """Return the scalings for data of unit variance (sigma_data = 1)."""
    total = 1.0 + sigma**2
    return Preconditioning(1.0 / total, sigma / total.sqrt(), 1.0 / total.sqrt(), sigma.log() / 4.0)


class Denoiser(nn.Module):
    """Wrap a raw network F into D(x, sigma) = c_skip x + c_out F(c_in x, c_noise) on scaled features."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        """Return the denoised [N, d] for noisy x [N, d] at level sigma (a number or [N, 1])."""
        c = precondition(_column(sigma, x))
        return c.c_skip * x + c.c_out * torch.as_tensor(self.network(c.c_in * x, c.c_noise))

    def score(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        """Return grad_x log p_sigma(x), [N, d]: (D(x, sigma) - x) / sigma^2 without its cancellation at small sigma."""
        level = _column(sigma, x)
        c = precondition(level)
        raw = torch.as_tensor(self.network(c.c_in * x, c.c_noise))
        return -c.c_skip * x + raw / (level * (1.0 + level**2).sqrt())


def _column(sigma: Tensor | float, x: Tensor) -> Tensor:
    level = torch.as_tensor(sigma, dtype=x.dtype, device=x.device)
    return level.expand(x.shape[0], 1) if level.dim() == 0 else level
