"""Base class of the state density's networks: the score of the noised data at any noise level."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..base.printable import one_line
from .mixture import Mixture

__all__ = ["ScoreModule", "sigma_column"]


class ScoreModule(nn.Module):
    """Model grad_x log p_sigma(x) as the score of a Gaussian mixture plus a learned correction.

    A subclass must define `score`; the other methods follow from it. A subclass may override them with better ones:
    `Denoiser` differentiates only its network, `EnergyNet` has a log-density.

    Attributes:
        base: the mixture that is corrected; None is the standard normal.
    """

    def __init__(self, base: Mixture | None = None) -> None:
        super().__init__()
        self.base = base

    def __repr__(self) -> str:
        return one_line(self, f"{sum(p.numel() for p in self.parameters()):,} weights")

    def score(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        """Return grad_x log p_sigma(x), [N, d], for rows x [N, d] at noise level sigma (a number or [N, 1]).

        The output for a row must not depend on the other rows.
        """
        raise NotImplementedError(f"{type(self).__name__}: expected a method score(x, sigma) -> [N, d]")

    def forward(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        """Return the denoised rows E[clean | noisy = x], [N, d], by Tweedie's formula."""
        return x + sigma_column(sigma, x) ** 2 * self.score(x, sigma)

    def base_score(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        """Return the score of `base` at level sigma, [N, d]."""
        level = sigma_column(sigma, x)
        return -x / (1.0 + level**2) if self.base is None else self.base.score(x, level)

    def base_score_and_divergence(self, x: Tensor, sigma: Tensor | float) -> tuple[Tensor, Tensor]:
        """Return the score [N, d] of `base` at level sigma and its divergence [N], in closed form."""
        level = sigma_column(sigma, x)
        if self.base is None:
            shrink = -1.0 / (1.0 + level[:, 0].square())
            return shrink[:, None] * x, x.shape[1] * shrink
        return self.base.score_and_divergence(x, level)

    def correction(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        """Return the score minus the score of `base`, [N, d]."""
        return self.score(x, sigma) - self.base_score(x, sigma)

    def score_and_divergence(self, x: Tensor, sigma: Tensor | float) -> tuple[Tensor, Tensor]:
        """Return the score [N, d] and its exact divergence [N], by one backward pass per coordinate."""
        start, growth = self.base_score_and_divergence(x, sigma)
        with torch.enable_grad():
            rows = x.detach().requires_grad_()
            learned = self.correction(rows, sigma)
            turned = torch.zeros_like(growth)
            for axis in range(x.shape[1]):
                (slope,) = torch.autograd.grad(
                    learned[:, axis].sum(),
                    rows,
                    retain_graph=axis + 1 < x.shape[1],
                    materialize_grads=True,
                )
                turned += slope[:, axis]
        return start + learned.detach(), growth + turned


def sigma_column(sigma: Tensor | float, x: Tensor) -> Tensor:
    """Return a noise level (a number or [N, 1]) as a column [N, 1] of the dtype and device of rows x [N, d]."""
    level = torch.as_tensor(sigma, dtype=x.dtype, device=x.device)
    return level.expand(x.shape[0], 1) if level.dim() == 0 else level
