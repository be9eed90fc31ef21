"""Energy parametrisation: one pass gives a log-density at any noise level, and its gradient is the score.

    log p(x, sigma) = log q_sigma(x) + f(x / sqrt(1 + sigma^2), ln sigma) / (1 + sigma^2)

q is a mixture with the mean and covariance of the data. At large sigma its term is exact, and the learned term f
vanishes. With the objective `dual` the density is normalised. With any other objective, each level has an unknown
constant.

References:
    Learning Normalized Image Densities via Dual Score Matching (Guth, Kadkhodaie & Simoncelli, 2025), arXiv
    2506.05310.
    Should EBMs model the energy or the score? (Salimans & Ho, 2021).
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..mixture import Mixture
from ..score_module import ScoreModule, sigma_column
from .mlp import NoiseConditionalMlp

__all__ = ["EnergyNet"]


class EnergyNet(ScoreModule):
    """Model log p_sigma(x) of scaled rows as that of `base` plus a learned term that vanishes at large sigma."""

    def __init__(self, base: Mixture, hidden: int = 96, blocks: int = 3) -> None:
        super().__init__(base)
        self._base = base
        self.network = NoiseConditionalMlp(base.dim, hidden, blocks, outputs=base.dim + 1)

    def log_density(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        """Return log p_sigma(x), [N], nats, for rows x [N, d] at noise level sigma (a number or [N, 1])."""
        level = sigma_column(sigma, x)
        return self._base.log_density(x, level) + self._learned(x, level)

    def score(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        """Return grad_x log p_sigma(x), [N, d], by one backward pass; the field is conservative."""
        return self.base_score(x, sigma) + self.correction(x, sigma)

    def correction(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        """Return the gradient of the learned term, [N, d]."""
        differentiable = torch.is_grad_enabled()
        with torch.enable_grad():
            rows = x if x.requires_grad else x.detach().requires_grad_()
            value = self._learned(rows, sigma_column(sigma, x)).sum()
            (slope,) = torch.autograd.grad(value, rows, create_graph=differentiable)
        return slope

    def _learned(self, x: Tensor, level: Tensor) -> Tensor:
        total = 1.0 + level.square()
        scaled = x / total.sqrt()
        raw = torch.as_tensor(self.network(scaled, level.log() / 4.0))
        # The gradient of a product with the input contains the outputs directly: easier to train than a scalar output.
        return ((raw[:, :-1] * scaled).sum(1) + raw[:, -1]) / total[:, 0]
