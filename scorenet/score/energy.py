"""The energy parametrisation: a normalised log-density at every noise level in one pass, whose gradient is the score.

    log p(x, sigma) = log q_sigma(x) + f(x / sqrt(1 + sigma^2), ln sigma) / (1 + sigma^2)

q is a mixture of the right mean and covariance, so that at large sigma the first term is exact, and the learned one
vanishes there. It is trained by matching both derivatives of the noised log-density: along x (denoising score
matching), and along ln sigma, where the target is |e|^2 - d. The second ties the levels together; as the largest one
is normalised, so are all others.

References:
    Learning Normalized Image Densities via Dual Score Matching (Guth, Kadkhodaie & Simoncelli, 2025), arXiv 2506.05310.
    Should EBMs model the energy or the score? (Salimans & Ho, 2021).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..config import NoiseConfig
from .mixture import Mixture
from .networks import NoiseConditionalMlp
from .noise import draw_sigma

__all__ = ["DualMatching", "EnergyNet"]


class EnergyNet(nn.Module):
    """Model log p_sigma(x) of scaled rows as that of `base` plus a correction that noise makes vanish."""

    def __init__(self, base: Mixture, hidden: int = 96, blocks: int = 3) -> None:
        super().__init__()
        self.base = base
        self.network = NoiseConditionalMlp(base.dim, hidden, blocks, outputs=base.dim + 1)

    def log_density(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        """Return log p_sigma(x), [N], nats, for rows x [N, d] at level sigma (a number or [N, 1])."""
        level = torch.as_tensor(sigma, dtype=x.dtype, device=x.device).expand(len(x), 1)
        total = 1.0 + level.square()
        scaled = x / total.sqrt()
        raw = torch.as_tensor(self.network(scaled, level.log() / 4.0))
        # A product with the input has the slope of the output itself: easier than a scalar head alone.
        learned = (raw[:, :-1] * scaled).sum(1) + raw[:, -1]
        return self.base.log_density(x, level) + learned / total[:, 0]

    def score(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        """Return grad_x log p_sigma(x), [N, d]: a conservative field, by one backward pass."""
        differentiable = torch.is_grad_enabled()
        with torch.enable_grad():
            rows = x if x.requires_grad else x.detach().requires_grad_()
            value = self.log_density(rows, sigma).sum()
            (slope,) = torch.autograd.grad(value, rows, create_graph=differentiable)
        return slope

    def forward(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        """Return the energy -log p_sigma(x), [N]."""
        return -self.log_density(x, sigma)


@dataclass(frozen=True)
class DualMatching:
    """Match the noised log-density's slope along x and along ln sigma, on antithetic pairs.

    `time_weight` scales the second part; each part is a mean over its d terms of noise of unit variance.
    """

    noise: NoiseConfig
    time_weight: float = 0.5

    def __call__(self, model: EnergyNet, x: Tensor, generator: torch.Generator) -> Tensor:
        """Return the mean loss of clean scaled rows x [N, d]."""
        sigma = draw_sigma(len(x), self.noise, generator).to(x)
        noise = torch.randn(x.shape, generator=generator).to(x)
        return self.at(model, torch.cat((x, x)), torch.cat((sigma, sigma)), torch.cat((noise, -noise)))

    def at(self, model: EnergyNet, x: Tensor, sigma: Tensor, noise: Tensor) -> Tensor:
        """Return the mean loss of clean rows x [N, d] at given levels [N, 1] and noise [N, d]."""
        dim = x.shape[1]
        with torch.enable_grad():
            noisy = (x + sigma * noise).detach().requires_grad_()
            log_sigma = sigma.log().detach().requires_grad_()
            value = model.log_density(noisy, log_sigma.exp())
            along_x, along_sigma = torch.autograd.grad(value.sum(), (noisy, log_sigma), create_graph=True)
        weight = 1.0 + sigma.square()
        space = (weight * (sigma * along_x + noise).square()).mean()
        growth = noise.square().sum(1, keepdim=True) - dim
        # |e|^2 - d has the variance 2 d.
        return space + self.time_weight * (weight * (along_sigma - growth).square()).mean() / (2 * dim)
