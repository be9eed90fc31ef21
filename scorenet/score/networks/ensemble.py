"""An ensemble of denoisers: the mean score, and the standard deviation over the members.

At each noise level, the mean score is the score of the normalised geometric mean of the members' densities (a
product of experts). By Tweedie's formula, its denoiser is the mean of the members' denoised rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from ..score_module import ScoreModule

__all__ = ["Ensemble"]


class Ensemble(ScoreModule):
    """Average networks that were trained on the same scaled features, with different seeds or on different rows.

    Raises:
        ValueError: there is no member.
    """

    def __init__(self, members: Sequence[ScoreModule]) -> None:
        if not members:
            raise ValueError("ensemble: expected at least one denoiser, found none")
        super().__init__(members[0].base)
        self.members = nn.ModuleList(members)
        self._one_base = all(member.base is members[0].base for member in members)

    def forward(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        """Return the mean denoised state of noisy x [N, d], [N, d]."""
        return torch.stack([member(x, sigma) for member in self.members]).mean(0)

    def scores(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        """Return each member's score, [M, N, d]."""
        return torch.stack([member.score(x, sigma) for member in self._all()])

    def score(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        """Return the mean score, [N, d]."""
        return self.scores(x, sigma).mean(0)

    def correction(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        """Return the mean of the members' corrections, [N, d]."""
        if not self._one_base:
            return super().correction(x, sigma)
        return torch.stack([member.correction(x, sigma) for member in self._all()]).mean(0)

    def score_and_divergence(self, x: Tensor, sigma: Tensor | float) -> tuple[Tensor, Tensor]:
        """Return the mean score [N, d] and its exact divergence [N], the mean of the members' divergences."""
        parts = [member.score_and_divergence(x, sigma) for member in self._all()]
        scores, divergences = zip(*parts, strict=True)
        return torch.stack(scores).mean(0), torch.stack(divergences).mean(0)

    def disagreement(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        """Return the standard deviation of the score over the members, [N, d]; 0 for one member."""
        return self.scores(x, sigma).std(0, correction=0)

    def _all(self) -> list[ScoreModule]:
        return [cast(ScoreModule, member) for member in self.members]
