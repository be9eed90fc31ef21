"""Model selection: the denoising loss on held-out rows, with noise that is drawn once."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ...config import NoiseConfig
from ..noise import geometric_sigmas
from .denoising import NoisyScore, dsm_residual

__all__ = ["FrozenNoise"]


class FrozenNoise:
    """The multi-scale denoising loss on held-out rows with fixed noise, so that all checks are comparable.

    With new noise at every check, the selected step would be the one with the luckiest noise. This loss selects for
    every objective. At the same noise levels, the expectations of the other objectives differ from it by a constant
    of the data, but their estimates may be far noisier.
    """

    def __init__(
        self, x: Tensor, noise: NoiseConfig, *, levels: int = 12, rows: int = 2048, seed: int = 0
    ) -> None:
        generator = torch.Generator().manual_seed(seed)
        if len(x) > rows:
            x = x[torch.linspace(0, len(x) - 1, rows).long()]
        sigmas = geometric_sigmas(noise.sigma_min, min(noise.sigma_max, 10.0), levels).to(x)
        self._x = x
        # Drawn on the CPU for every device, so that the noise is the same on a GPU.
        self._draws = [(sigma, torch.randn(x.shape, generator=generator).to(x)) for sigma in sigmas]

    def by_row(self, model: NoisyScore) -> Tensor:
        """Return the loss of each held-out row, [N], on the CPU; its mean is the loss of model selection."""
        total = torch.zeros(len(self._x), device=self._x.device, dtype=self._x.dtype)
        for sigma, residual in self._residuals(model):
            weight = (1 + sigma**2) / len(self._draws)
            total += weight * residual.square().mean(1).view(2, -1).mean(0)
        return total.cpu()

    def by_sigma(self, model: NoisyScore) -> list[tuple[float, float]]:
        """Return (sigma, mean of |sigma score + noise|^2 per dimension): the chapter's DSM loss at each level."""
        return [(float(sigma), float(residual.square().mean())) for sigma, residual in self._residuals(model)]

    def _residuals(self, model: NoisyScore) -> Iterator[tuple[Tensor, Tensor]]:
        rows = torch.cat((self._x, self._x))
        for sigma, noise in self._draws:
            with torch.no_grad():
                level = sigma.expand(len(rows), 1)
                yield sigma, dsm_residual(model, rows, level, torch.cat((noise, -noise)))

    def __call__(self, model: NoisyScore) -> float:
        """Return the level-weighted mean loss that model selection minimises."""
        losses = [(1 + sigma**2) * loss for sigma, loss in self.by_sigma(model)]
        return sum(losses) / len(losses)
