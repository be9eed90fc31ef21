"""Baseline: the loss and the training loop of the chapter, unchanged, for comparisons only.

Differences from the chapter's text are marked in the code. Only one changes results: the best weights are copied.
Without the copy, the "best" weights would be those of the last step.

References:
    Generative Modeling by Estimating Gradients of the Data Distribution (Song & Ermon, 2019), arXiv 1907.05600.
"""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn
from tqdm import tqdm

from ..score.networks.chapter import (
    MultiScaleScoreNetwork,
    NoiseLevelEmbedding,
    ResidualBlock,
    ScoreNetwork,
)

__all__ = [
    "DenoisingScoreMatchingLoss",
    "MultiScaleScoreNetwork",
    "NoiseLevelEmbedding",
    "ResidualBlock",
    "ScoreNetwork",
    "train_score_network",
]


class DenoisingScoreMatchingLoss(nn.Module):
    """E sigma^2 |score(x + sigma e) + e / sigma|^2, with a random noise level per row."""

    def __init__(self, score_network: MultiScaleScoreNetwork) -> None:
        super().__init__()
        self.score_network = score_network

    def forward(self, x: Tensor) -> Tensor:
        """Return the loss of clean rows x [N, d]; noise comes from torch's global generator."""
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
    """Train as the chapter does, with torch's global generator: AdamW, cosine schedule by epoch, new validation noise.

    Differs in one point: the best weights are copied. The chapter keeps `state_dict().copy()`, a shallow copy whose
    tensors change with further training.
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
