"""Baseline: the chapter's Langevin dynamics, unchanged, for comparisons only; use `scorenet.sampling` instead.

Its flaws:

- It starts from N(0, I) and anneals from sigma_max 1, although data of unit variance plus noise of size 1 have variance
  2. The start is too narrow, and distant clusters never get their right shares.
- A hundred steps of 0.01 sigma^2 are too few to reach equilibrium at a level: a level that starts with the right
  variance ends with 24 % too much, and the last of ten has 39 % too much.
- The noise of the last level is not removed.
- `denoise` moves by 0.01 sigma_min^2 = 1e-6 times the score: it practically returns its input.
- Confidence is |score| divided by the largest |score| of the batch: 1 for a single row, and dependent on the other rows
  otherwise.

References:
    Generative Modeling by Estimating Gradients of the Data Distribution (Song & Ermon, 2019), arXiv 1907.05600.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .chapter import MultiScaleScoreNetwork

__all__ = ["LangevinDynamics"]


class LangevinDynamics:
    """Sample, denoise and compute signals from the score of the chapter's network, with torch's global generator."""

    def __init__(
        self,
        score_network: MultiScaleScoreNetwork,
        n_steps_per_level: int = 100,
        step_size: float = 0.01,
    ) -> None:
        self.score_network, self.n_steps, self.step_size = score_network, n_steps_per_level, step_size

    @torch.no_grad()
    def sample(self, batch_size: int, device: str = "cpu") -> Tensor:
        """Draw rows [batch_size, d] by annealed Langevin dynamics; num_noise_levels * n_steps evaluations."""
        x = torch.randn(batch_size, self.score_network.input_dim, device=device)
        for number in range(self.score_network.num_noise_levels):
            noise_level = torch.full((batch_size,), number, device=device, dtype=torch.long)
            alpha = self.step_size * self.score_network.get_sigma(noise_level)[0] ** 2
            for _ in range(self.n_steps):
                score = self.score_network(x, noise_level)
                x = x + alpha * score + (2 * alpha).sqrt() * torch.randn_like(x)
        return x

    @torch.no_grad()
    def denoise(self, x: Tensor, n_steps: int = 50) -> Tensor:
        """Move rows x [N, d] along the score at the smallest noise level."""
        noise_level = self.score_network.lowest(len(x))
        alpha = self.step_size * self.score_network.get_sigma(noise_level)[0] ** 2
        for _ in range(n_steps):
            x = x + alpha * self.score_network(x, noise_level)
        return x

    @torch.no_grad()
    def get_trading_signal(self, x: Tensor, return_idx: int = 0) -> tuple[Tensor, Tensor]:
        """Return the sign [N] of the return coordinate's score at the smallest level, and its "confidence" [N]."""
        score = self.score_network(x, self.score_network.lowest(len(x)))
        confidence = score[:, return_idx].abs()
        return score[:, return_idx].sign(), confidence / (confidence.max() + 1e-8)
