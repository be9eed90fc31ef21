"""Model selection: the denoising loss on held-out rows, with noise that is drawn once."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from ...config import NoiseConfig
from ..noise import geometric_sigmas
from ..side_by_side import each
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

    def measure(self, model: NoisyScore) -> tuple[float, Tensor]:
        """Return the loss of model selection, the mean over levels and rows, and that of each row, [N], on the CPU."""
        by_row = torch.zeros(len(self._x), device=self._x.device, dtype=self._x.dtype)
        total, levels = 0.0, self._levels(model)
        for sigma, loss, rows in levels:
            by_row += (1 + sigma**2) / len(levels) * rows
            total += (1 + float(sigma) ** 2) * loss
        return total / len(levels), by_row.cpu()

    def by_row(self, model: NoisyScore) -> Tensor:
        """Return the loss of each held-out row, [N], on the CPU; its mean is the loss of model selection."""
        return self.measure(model)[1]

    def by_sigma(self, model: NoisyScore) -> list[tuple[float, float]]:
        """Return (sigma, mean of |sigma score + noise|^2 per dimension): the chapter's DSM loss at each level."""
        return [(float(sigma), loss) for sigma, loss, _ in self._levels(model)]

    def __call__(self, model: NoisyScore) -> float:
        """Return the level-weighted mean loss that model selection minimises."""
        return self.measure(model)[0]

    def _levels(self, model: NoisyScore) -> list[tuple[Tensor, float, Tensor]]:
        """Return the level, the mean of |sigma score + noise|^2 per dimension and that of each row, [N], by level."""
        return each(partial(self._level, model), self._draws)

    def _level(self, model: NoisyScore, draw: tuple[Tensor, Tensor]) -> tuple[Tensor, float, Tensor]:
        sigma, noise = draw
        with torch.no_grad():
            rows, level = torch.cat((self._x, self._x)), sigma.expand(2 * len(self._x), 1)
            square = dsm_residual(model, rows, level, torch.cat((noise, -noise))).square()
            return sigma, float(square.mean()), square.mean(1).view(2, -1).mean(0)
