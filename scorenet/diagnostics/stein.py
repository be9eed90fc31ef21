"""Stein identities: expectations that are zero for the true score of the rows, with standard errors.

At noise level sigma, over noisy rows x ~ p_sigma and their score s:

    mean    E[s] = 0
    cross   E[s x'] = -I
    energy  E|s|^2 + E div s = 0

Each follows from integration by parts, so none needs the true score. A score that violates one is wrong; a score that
satisfies all three may still be wrong.

References:
    A Bound for the Error in the Normal Approximation (Stein, 1972).
    A Kernelized Stein Discrepancy for Goodness-of-fit Tests (Liu, Lee & Jordan, 2016), arXiv 1602.03253.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..score.divergence import Score

__all__ = ["Identity", "jacobian_asymmetry", "stein_identities"]


class Identity(NamedTuple):
    """One identity at one noise level.

    gap: root mean square over the entries of the identity, which should be 0.
    standard_error: root mean square of the entries' standard errors.
    z: root mean square of entry / standard error; about 1 for the true score.
    """

    name: str
    sigma: float
    gap: float
    standard_error: float
    z: float


def stein_identities(
    score: Score, x: Tensor, sigma: float, *, block: int = 1, seed: int = 0
) -> list[Identity]:
    """Check a score at noise level sigma on clean scaled rows x [N, d]; `block` successive rows are near copies.

    The noise added here is antithetic: the rows x + sigma e and x - sigma e count as one.
    """
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed)).to(x)
    parts = [_row_terms(score, x + sign * sigma * noise, sigma) for sign in (1.0, -1.0)]
    found = []
    for name, ahead, behind in zip(("mean", "cross", "energy"), *parts, strict=True):
        terms = 0.5 * (ahead + behind)
        blocks = torch.stack([part.mean(0) for part in terms.tensor_split(max(len(terms) // block, 2))])
        gap, error = terms.mean(0), blocks.std(0) / len(blocks) ** 0.5
        z = (gap / error.clamp_min(1e-300)).square().mean().sqrt()
        found.append(Identity(name, sigma, _rms(gap), _rms(error), float(z)))
    return found


def jacobian_asymmetry(score: Score, x: Tensor, sigma: float) -> float:
    """Return |J - J'| / |J| of the score's Jacobian over rows x [N, d] (Frobenius): 0 for the gradient of a density."""
    _, jacobian = _score_and_jacobian(score, x, sigma)
    skew = (jacobian - jacobian.transpose(1, 2)).square().sum()
    return float((skew / jacobian.square().sum()).sqrt())


def _row_terms(score: Score, x: Tensor, sigma: float) -> tuple[Tensor, Tensor, Tensor]:
    value, jacobian = _score_and_jacobian(score, x, sigma)
    identity = torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    divergence = jacobian.diagonal(dim1=1, dim2=2).sum(1)
    cross = (value[:, :, None] * x[:, None, :] + identity).flatten(1)
    return value, cross, (value.square().sum(1) + divergence)[:, None]


def _score_and_jacobian(score: Score, x: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
    with torch.enable_grad():
        rows = x.detach().requires_grad_()
        value = score(rows, torch.full((len(x), 1), sigma, dtype=x.dtype, device=x.device))
        slopes = [
            torch.autograd.grad(value[:, axis].sum(), rows, retain_graph=axis + 1 < x.shape[1])[0]
            for axis in range(x.shape[1])
        ]
    return value.detach(), torch.stack(slopes, dim=1)


def _rms(values: Tensor) -> float:
    return float(values.square().mean().sqrt())
