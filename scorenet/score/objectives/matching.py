"""Score matching by integration by parts: implicit (exact trace), sliced, and sliced with reduced variance.

For draws y from a density, E[tr(grad s(y)) + 1/2 |s(y)|^2] equals 1/2 E|s - grad log p|^2 up to a constant of the
data, so no target is needed. Here the draws are rows plus noise at the batch's levels, so the network learns the
score of p_sigma. The three estimators of the trace differ only in time and variance.

References:
    Estimation of Non-Normalized Statistical Models by Score Matching (Hyvärinen, 2005).
    Sliced Score Matching: A Scalable Approach to Density and Score Estimation (Song et al., 2019), arXiv
        1905.07088.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .batch import NoisyBatch
from .denoising import NoisyScore

__all__ = ["implicit", "implicit_terms", "sliced", "sliced_terms", "sliced_vr"]

ScoreFunction = Callable[[Tensor], Tensor]
"""x [N, d] -> score [N, d], row by row."""


def implicit(model: NoisyScore, batch: NoisyBatch) -> Tensor:
    """Return the weighted mean of tr(grad s) + 1/2 |s|^2; the trace is exact, by d backward passes."""
    return _weighted(implicit_terms(lambda y: model.score(y, batch.sigma), batch.noisy), batch)


def sliced(model: NoisyScore, batch: NoisyBatch) -> Tensor:
    """Return the weighted mean of v'(grad s)v + 1/2 (v's)^2 with one standard normal direction v per row."""
    return _weighted(_slices(model, batch, reduced=False), batch)


def sliced_vr(model: NoisyScore, batch: NoisyBatch) -> Tensor:
    """Return the weighted mean of v'(grad s)v + 1/2 |s|^2 (SSM-VR), with less variance than `sliced`."""
    return _weighted(_slices(model, batch, reduced=True), batch)


def implicit_terms(score: ScoreFunction, y: Tensor) -> Tensor:
    """Return tr(grad s) + 1/2 |s|^2 of each row of y [N, d], [N]."""
    with torch.enable_grad():
        rows = y.detach().requires_grad_()
        value = score(rows)
        out = 0.5 * value.square().sum(1)
        for axis in range(y.shape[1]):
            (slope,) = torch.autograd.grad(value[:, axis].sum(), rows, create_graph=True)
            out = out + slope[:, axis]
        return out


def sliced_terms(score: ScoreFunction, y: Tensor, directions: Tensor, *, reduced: bool) -> Tensor:
    """Return v'(grad s)v + 1/2 (v's)^2, or + 1/2 |s|^2 if `reduced`, for rows y and directions v [N, d], [N]."""
    with torch.enable_grad():
        rows = y.detach().requires_grad_()
        value = score(rows)
        (gradient,) = torch.autograd.grad((value * directions).sum(), rows, create_graph=True)
        square = value.square().sum(1) if reduced else (value * directions).sum(1).square()
        return (gradient * directions).sum(1) + 0.5 * square


def _slices(model: NoisyScore, batch: NoisyBatch, *, reduced: bool) -> Tensor:
    directions = torch.randn(batch.x.shape, generator=batch.generator).to(batch.x)
    return sliced_terms(lambda y: model.score(y, batch.sigma), batch.noisy, directions, reduced=reduced)


def _weighted(terms: Tensor, batch: NoisyBatch) -> Tensor:
    """Return the mean of the terms [N], weighted by level so that score errors count as in `dsm`."""
    squared = batch.sigma[:, 0].square()
    return (2.0 * squared * (1.0 + squared) * terms).mean() / batch.x.shape[1]
