"""Score matching without noise: implicit (exact trace) and sliced, for any differentiable score of rows [N, d].

All estimate the same number, E[tr(grad s) + 1/2 |s|^2] over the data, which is 1/2 E|s - grad log p|^2 up to a constant
of the data: what one gains over the other is time or variance.

References:
    Estimation of Non-Normalized Statistical Models by Score Matching (Hyvärinen, 2005).
    Sliced Score Matching: A Scalable Approach to Density and Score Estimation (Song et al., 2019), arXiv 1905.07088.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["implicit_loss", "reduced_sliced_loss", "sliced_loss"]

ScoreFunction = Callable[[Tensor], Tensor]
"""x [N, d] -> score [N, d], row by row."""


def implicit_loss(score: ScoreFunction, x: Tensor) -> Tensor:
    """Return the mean of tr(grad s) + 1/2 |s|^2 over rows x [N, d]; the trace is exact, by d backward passes."""
    with torch.enable_grad():
        rows = x.detach().requires_grad_()
        value = score(rows)
        trace = torch.zeros((), dtype=x.dtype, device=x.device)
        for axis in range(x.shape[1]):
            (slope,) = torch.autograd.grad(value[:, axis].sum(), rows, create_graph=True)
            trace = trace + slope[:, axis].mean()
        return trace + 0.5 * value.square().sum(1).mean()


def sliced_loss(score: ScoreFunction, x: Tensor, generator: torch.Generator, slices: int = 1) -> Tensor:
    """Return the mean of v'(grad s)v + 1/2 (v's)^2 over rows x [N, d] and standard normal v, `slices` a row."""
    curvature, value, v = _slice(score, x, generator, slices)
    return curvature + 0.5 * (value * v).sum(1).square().mean()


def reduced_sliced_loss(
    score: ScoreFunction, x: Tensor, generator: torch.Generator, slices: int = 1
) -> Tensor:
    """Return the mean of v'(grad s)v + 1/2 |s|^2 (SSM-VR): the square of the score needs no slices."""
    curvature, value, _ = _slice(score, x, generator, slices)
    return curvature + 0.5 * value.square().sum(1).mean()


def _slice(
    score: ScoreFunction, x: Tensor, generator: torch.Generator, slices: int
) -> tuple[Tensor, Tensor, Tensor]:
    with torch.enable_grad():
        rows = x.detach().repeat(slices, 1).requires_grad_()
        v = torch.randn(rows.shape, generator=generator).to(x)
        value = score(rows)
        (turned,) = torch.autograd.grad((value * v).sum(), rows, create_graph=True)
        return (turned * v).sum(1).mean(), value, v
