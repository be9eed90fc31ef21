"""The chapter's networks, unchanged, and adapters that make them usable inside a `Denoiser`.

The chapter's networks output the raw score, which varies over many orders of magnitude between noise levels.
`ScoreNetworkBody` and `MultiScaleBody` keep their layers and weights, but give them inputs and targets of unit
variance. `scorenet.baselines` trains and uses the networks as the chapter does.

References:
    Generative Modeling by Estimating Gradients of the Data Distribution (Song & Ermon, 2019), arXiv 1907.05600.
    Improved Techniques for Training Score-Based Generative Models (Song & Ermon, 2020), arXiv 2006.09011: one
    network without a noise level for all levels, its output scaled by the level.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

__all__ = [
    "MultiScaleBody",
    "MultiScaleScoreNetwork",
    "NoiseLevelEmbedding",
    "ResidualBlock",
    "ScoreNetwork",
    "ScoreNetworkBody",
]


class ResidualBlock(nn.Module):
    """A residual block: layer norm, a layer four times wider, dropout."""

    def __init__(self, dim: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(
            nn.Linear(dim, 4 * dim),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(4 * dim, dim),
            nn.Dropout(dropout),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, dim] to [N, dim]."""
        return x + torch.as_tensor(self.mlp(self.norm(x)))


class ScoreNetwork(nn.Module):
    """Estimate the raw score of rows [N, input_dim], without a noise level."""

    def __init__(
        self, input_dim: int, hidden_dim: int = 128, num_layers: int = 4, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.input_dim, self.hidden_dim = input_dim, hidden_dim
        self.input_proj = nn.Sequential(nn.Linear(input_dim, hidden_dim), nn.LayerNorm(hidden_dim), nn.GELU())
        self.res_blocks = nn.ModuleList([ResidualBlock(hidden_dim, dropout) for _ in range(num_layers)])
        self.output_proj = nn.Sequential(
            nn.LayerNorm(hidden_dim),
            nn.Linear(hidden_dim, hidden_dim),
            nn.GELU(),
            nn.Linear(hidden_dim, input_dim),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the score, [N, input_dim]."""
        h = self.input_proj(x)
        for block in self.res_blocks:
            h = block(h)
        return torch.as_tensor(self.output_proj(h))


class NoiseLevelEmbedding(nn.Module):
    """Embed the index of a noise level [N] as [N, hidden_dim]."""

    def __init__(self, hidden_dim: int, max_noise_level: int = 10) -> None:
        super().__init__()
        self.embedding = nn.Embedding(max_noise_level, hidden_dim)
        self.proj = nn.Linear(hidden_dim, hidden_dim)

    def forward(self, noise_level: Tensor) -> Tensor:
        """Return the embeddings of the levels."""
        return torch.as_tensor(self.proj(self.embedding(noise_level)))


class MultiScaleScoreNetwork(nn.Module):
    """Estimate the raw score at one of the geometric noise levels `sigmas`, in descending order."""

    sigmas: Tensor

    def __init__(
        self,
        input_dim: int,
        hidden_dim: int = 128,
        num_layers: int = 4,
        num_noise_levels: int = 10,
        sigma_min: float = 0.01,
        sigma_max: float = 1.0,
    ) -> None:
        super().__init__()
        self.input_dim, self.num_noise_levels = input_dim, num_noise_levels
        span = torch.linspace(math.log(sigma_max), math.log(sigma_min), num_noise_levels)
        self.register_buffer("sigmas", span.exp())
        self.input_proj = nn.Linear(input_dim, hidden_dim)
        self.noise_embed = NoiseLevelEmbedding(hidden_dim, num_noise_levels)
        self.res_blocks = nn.ModuleList([ResidualBlock(hidden_dim) for _ in range(num_layers)])
        self.output_proj = nn.Linear(hidden_dim, input_dim)

    def forward(self, x: Tensor, noise_level: Tensor) -> Tensor:
        """Return the score [N, input_dim] of rows x at the levels with the given indices [N]."""
        h = self.input_proj(x) + self.noise_embed(noise_level)
        for block in self.res_blocks:
            h = block(h)
        return torch.as_tensor(self.output_proj(h))

    def get_sigma(self, noise_level: Tensor) -> Tensor:
        """Return the noise standard deviation of a level."""
        return self.sigmas[noise_level]

    def lowest(self, rows: int) -> Tensor:
        """Return the index of the smallest level for each row, [N]."""
        return torch.full((rows,), self.num_noise_levels - 1, dtype=torch.long, device=self.sigmas.device)

    def score(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        """Return the score [N, d] at the level nearest to sigma, for callers without a level index."""
        asked = torch.as_tensor(sigma, dtype=x.dtype, device=x.device).reshape(-1, 1).expand(len(x), 1)
        level = (asked.log() - self.sigmas.to(x).log()).abs().argmin(1)
        return torch.as_tensor(self(x, level))


class ScoreNetworkBody(nn.Module):
    """Adapt `ScoreNetwork` to `Denoiser`; its only input is the scaled row, at every noise level."""

    def __init__(self, dim: int, hidden: int, blocks: int) -> None:
        super().__init__()
        self.network = ScoreNetwork(dim, hidden, blocks)
        last = self.network.output_proj[-1]
        _start_at_zero(last)

    def forward(self, x: Tensor, c_noise: Tensor, base_output: Tensor | None = None) -> Tensor:
        """Map scaled rows [N, d] to [N, d]; the other inputs are ignored, the chapter's network does not have them."""
        return torch.as_tensor(self.network(x))


class MultiScaleBody(nn.Module):
    """Adapt `MultiScaleScoreNetwork` to `Denoiser`; between two levels the embeddings are interpolated."""

    def __init__(
        self, dim: int, hidden: int, blocks: int, sigma_min: float, sigma_max: float, levels: int = 10
    ) -> None:
        super().__init__()
        self.network = MultiScaleScoreNetwork(dim, hidden, blocks, levels, sigma_min, sigma_max)
        self._highest, self._span = math.log(sigma_max), math.log(sigma_max / sigma_min)
        _start_at_zero(self.network.output_proj)

    def forward(self, x: Tensor, c_noise: Tensor, base_output: Tensor | None = None) -> Tensor:
        """Map scaled rows [N, d] at c_noise = ln(sigma)/4, [N, 1], to [N, d]; `base_output` is ignored."""
        last = self.network.num_noise_levels - 1
        place = ((self._highest - 4.0 * c_noise[:, 0]) / self._span * last).clamp(0.0, last)
        above = place.detach().floor().clamp(max=last - 1)
        share = (place - above)[:, None]
        embed = self.network.noise_embed
        embedded = torch.lerp(embed(above.long()), embed(above.long() + 1), share)
        h = self.network.input_proj(x) + embedded
        for block in self.network.res_blocks:
            h = block(h)
        return torch.as_tensor(self.network.output_proj(h))


def _start_at_zero(layer: nn.Module) -> None:
    """Set the last layer to zero, so that before training the denoiser is that of the base."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
