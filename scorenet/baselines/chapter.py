"""Baselines: the networks, the loss and the training loop of the chapter, as written there. Compare with them only.

What differs from the chapter's text is marked in place: nothing of it changes a number, but for the copy of the best
weights, without which "best" is whatever the last step left.

References:
    Generative Modeling by Estimating Gradients of the Data Distribution (Song & Ermon, 2019), arXiv 1907.05600.
"""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn
from tqdm import tqdm

__all__ = [
    "DenoisingScoreMatchingLoss",
    "MultiScaleScoreNetwork",
    "NoiseLevelEmbedding",
    "ResidualBlock",
    "ScoreNetwork",
    "train_score_network",
]


class ResidualBlock(nn.Module):
    """Add a four times wider layer to a normalised input, with dropout."""

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
    """Embed the number of a noise level [N] as [N, hidden_dim]."""

    def __init__(self, hidden_dim: int, max_noise_level: int = 10) -> None:
        super().__init__()
        self.embedding = nn.Embedding(max_noise_level, hidden_dim)
        self.proj = nn.Linear(hidden_dim, hidden_dim)

    def forward(self, noise_level: Tensor) -> Tensor:
        """Look the levels up."""
        return torch.as_tensor(self.proj(self.embedding(noise_level)))


class MultiScaleScoreNetwork(nn.Module):
    """Estimate the raw score at one of the geometric noise levels `sigmas`, the largest first."""

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
        """Return the score [N, input_dim] of rows x at the levels of the given numbers [N]."""
        h = self.input_proj(x) + self.noise_embed(noise_level)
        for block in self.res_blocks:
            h = block(h)
        return torch.as_tensor(self.output_proj(h))

    def get_sigma(self, noise_level: Tensor) -> Tensor:
        """Return the standard deviation of the noise of a level."""
        return self.sigmas[noise_level]

    def lowest(self, rows: int) -> Tensor:
        """Return the number of the smallest level, once a row, [N]."""
        return torch.full((rows,), self.num_noise_levels - 1, dtype=torch.long, device=self.sigmas.device)

    def score(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        """Return the score [N, d] at the level nearest to sigma, for callers that have no level numbers."""
        asked = torch.as_tensor(sigma, dtype=x.dtype, device=x.device).reshape(-1, 1).expand(len(x), 1)
        level = (asked.log() - self.sigmas.to(x).log()).abs().argmin(1)
        return torch.as_tensor(self(x, level))


class DenoisingScoreMatchingLoss(nn.Module):
    """E sigma^2 |score(x + sigma e) + e / sigma|^2 at a random level a row."""

    def __init__(self, score_network: MultiScaleScoreNetwork) -> None:
        super().__init__()
        self.score_network = score_network

    def forward(self, x: Tensor) -> Tensor:
        """Return the loss of clean rows x [N, d], noise from torch's global generator."""
        levels = torch.randint(0, self.score_network.num_noise_levels, (len(x),), device=x.device)
        sigmas = self.score_network.get_sigma(levels).unsqueeze(-1)
        noise = torch.randn_like(x)
        score = self.score_network(x + sigmas * noise, levels)
        loss = ((score + noise / sigmas) ** 2).sum(dim=-1) * (sigmas.squeeze(-1) ** 2)
        return torch.as_tensor(loss.mean())


def train_score_network(
    model: MultiScaleScoreNetwork,
    train_data: Tensor,
    val_data: Tensor,
    epochs: int = 100,
    batch_size: int = 256,
    lr: float = 1e-3,
    weight_decay: float = 1e-4,
    progress: bool = False,
) -> MultiScaleScoreNetwork:
    """Train as the chapter does, on torch's global generator: AdamW, cosine by epoch, one fresh noise a validation.

    Marked: the best weights are copied. The chapter keeps `state_dict().copy()`, whose tensors go on training.
    """
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=weight_decay)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    loss_fn = DenoisingScoreMatchingLoss(model)
    best_loss, best_state = math.inf, copy.deepcopy(model.state_dict())
    for _ in tqdm(range(epochs), desc="chapter's loop", unit="epoch", disable=not progress, leave=False):
        model.train()
        order = torch.randperm(len(train_data))
        for begin in range(0, len(train_data), batch_size):
            optimizer.zero_grad()
            loss = loss_fn(train_data[order[begin : begin + batch_size]])
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        scheduler.step()
        model.eval()
        with torch.no_grad():
            found = float(loss_fn(val_data))
        if found < best_loss:
            best_loss, best_state = found, copy.deepcopy(model.state_dict())
    model.load_state_dict(best_state)
    return model
