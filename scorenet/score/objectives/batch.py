"""The input of an objective: clean rows, one noise level per row, and the noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from ...config import NoiseConfig
from ..noise import draw_sigma

__all__ = ["NoisyBatch"]


@dataclass(frozen=True, eq=False)
class NoisyBatch:
    """Clean scaled rows and the noise that training adds to them.

    Attributes:
        x: clean scaled rows [N, d].
        sigma: noise levels [N, 1], log-normal within the range of the noise settings.
        noise: standard normal [N, d].
        generator: for further random numbers of an objective; on the CPU. sigma and noise are drawn on the CPU as
            well.
    """

    x: Tensor
    sigma: Tensor
    noise: Tensor
    generator: torch.Generator

    @classmethod
    def draw(cls, x: Tensor, noise: NoiseConfig, generator: torch.Generator) -> Self:
        """Draw a noise level and noise for each of the clean scaled rows x [N, d]."""
        sigma = draw_sigma(len(x), noise, generator).to(x)
        # Drawn on the CPU for every device, so that the noise is the same on a GPU.
        return cls(x, sigma, torch.randn(x.shape, generator=generator).to(x), generator)

    @property
    def noisy(self) -> Tensor:
        """Rows x + sigma noise [N, d], draws from the noised density p_sigma."""
        return self.x + self.sigma * self.noise

    def mirrored(self) -> NoisyBatch:
        """Return the batch of 2 N rows in which every row occurs with its noise and with the opposite noise."""
        both = torch.cat((self.noise, -self.noise))
        return NoisyBatch(
            torch.cat((self.x, self.x)), torch.cat((self.sigma, self.sigma)), both, self.generator
        )
