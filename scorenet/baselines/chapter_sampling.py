"""Baseline: the chapter's Langevin dynamics, as written there. Compare with it only; `sampling` is what works.

What is wrong with it:

- It starts from N(0, I) and anneals from sigma_max 1, although data of unit variance noised by 1 have the variance 2:
  the start is too narrow, and far clusters are never weighed against each other.
- A hundred steps of 0.01 sigma^2 do not forget the level before: a level that is handed the right variance hands on
  24 % too much of it, and the last of ten has 39 % too much.
- Nothing takes away the noise of the last level.
- `denoise` moves by 0.01 sigma_min^2 = 1e-6 times the score: it returns what it was given.
- Confidence is |score| over the largest |score| of the batch: 1 for every single row, and a look at the other rows for
  many of them.

References:
    Generative Modeling by Estimating Gradients of the Data Distribution (Song & Ermon, 2019), arXiv 1907.05600.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .chapter import MultiScaleScoreNetwork

__all__ = ["LangevinDynamics"]


class LangevinDynamics:
    """Sample, denoise and signal by following the score of the chapter's network, on torch's global generator."""

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
        """Follow the score of the smallest level from rows x [N, d]."""
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
