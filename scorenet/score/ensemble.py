"""Several denoisers as one: their mean score, and how far they disagree about it.

The mean score is that of the equal-weight geometric mean of their densities (a product of experts), noise level by
noise level; the mean of the denoised states is the same thing by Tweedie's formula.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .denoiser import Denoiser

__all__ = ["Ensemble"]


class Ensemble(nn.Module):
    """Average denoisers trained on the same scaled features: from other seeds, or other halves of the rows."""

    def __init__(self, members: Sequence[Denoiser]) -> None:
        super().__init__()
        if not members:
            raise ValueError("ensemble: expected at least one denoiser, found none")
        self.members = nn.ModuleList(members)

    def forward(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        """Return the mean denoised state of noisy x [N, d], [N, d]."""
        return torch.stack([member(x, sigma) for member in self.members]).mean(0)

    def scores(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        """Return each member's score, [M, N, d]."""
        return torch.stack([torch.as_tensor(member.score(x, sigma)) for member in self.members])  # type: ignore[operator]

    def score(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        """Return the mean score, [N, d]."""
        return self.scores(x, sigma).mean(0)

    def disagreement(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        """Return the standard deviation over the members, by row and coordinate, [N, d]; 0 for one member."""
        return self.scores(x, sigma).std(0, correction=0)
