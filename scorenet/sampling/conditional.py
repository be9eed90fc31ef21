"""Conditional sampling: draw states given the values of some coordinates, by sequential Monte Carlo along the score.

The known coordinates x_K stay at their values k at every noise level. The target at each level is the conditional
distribution p_sigma(x_U | x_K = k) of the free coordinates, with sigma decreasing. The free coordinates follow their
part of the probability-flow ODE, dx_U = -sigma s_U d sigma. By the heat equation, d log p / d sigma =
sigma (div s + |s|^2), the remaining change of density is a weight per row that involves only the known coordinates:

    d log w / d sigma = sigma (div_K s_K + |s_K|^2)

Rows are resampled in proportion to their weights when the weights become uneven, and Langevin steps make the copies
distinct again. The only approximations are the finite numbers of steps and rows, so the shares of separate clusters
are correct as well. The usual method, which overwrites the known coordinates with noised values, is biased even for a
Gaussian.

References:
    Sequential Monte Carlo Samplers (Del Moral, Doucet & Jasra, 2006).
    RePaint: Inpainting using Denoising Diffusion Probabilistic Models (Lugmayr et al., 2022): the overwriting method.
    Practical and Asymptotically Exact Conditional Sampling in Diffusion Models (Wu et al., 2023), arXiv 2306.17775.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..score.mixture import Mixture
from ..score.noise import karras_sigmas
from .registry import Scored
from .samplers import langevin_step

__all__ = ["conditional", "conditional_mixture", "conditional_rows"]

_POPULATION = 1024  # smallest number of rows for which resampling by weight works well
_BLOCK = 512  # rows scored at a time
_STEP = 0.05  # size of a Langevin step in units of sigma^2: small enough not to narrow the distribution


@torch.no_grad()
def conditional(
    denoiser: Scored,
    base: Mixture,
    n: int,
    seed: int,
    *,
    known: Mapping[int, float],
    sigma_min: float = 0.05,
    sigma_max: float = 20.0,
    steps: int = 40,
    corrections: int = 1,
) -> Tensor:
    """Draw n scaled states [n, d] given the values of the coordinates `known` (column -> value).

    Sampling starts from the conditional distribution of `base` at sigma_max. It needs (steps - 1) * (2 + corrections)
    + 1 evaluations of the score; 2 * (steps - 1) of them are differentiated with respect to each known coordinate.
    """
    generator = torch.Generator().manual_seed(seed)
    columns, count = list(known), max(n, _POPULATION)
    values = torch.tensor(list(known.values()), dtype=base.means.dtype).expand(count, -1)
    x = _start(base, columns, values, sigma_max, generator)
    free = _free(x, columns)
    weight = torch.zeros(count, dtype=x.dtype)
    sigmas = karras_sigmas(sigma_min, sigma_max, steps).tolist()
    for here, there in itertools.pairwise(sigmas):
        slope, rate = _motion(denoiser, x, here, columns)
        ahead_slope, ahead_rate = _motion(denoiser, x + (there - here) * free * slope, there, columns)
        x = x + (there - here) * 0.5 * free * (slope + ahead_slope)
        weight = weight + (there - here) * 0.5 * (rate + ahead_rate)
        if there == sigmas[-1] or _effective(weight) < 0.5 * count:
            x, weight = x[_draw(weight, generator)], torch.zeros_like(weight)
        x = _langevin(denoiser, x, there, free, corrections, generator)
    x = x[torch.randperm(count, generator=generator)[:n]]
    return torch.as_tensor(x + sigmas[-1] ** 2 * free * _score(denoiser, x, sigmas[-1]))


@torch.no_grad()
def conditional_rows(
    denoiser: Scored,
    base: Mixture,
    seed: int,
    *,
    columns: Sequence[int],
    values: Tensor,
    sigma_min: float = 0.05,
    steps: int = 10,
) -> Tensor:
    """Draw one scaled state [N, d] for each row of `values` [N, k] of the coordinates `columns`.

    Rows have different known values, so they cannot be resampled by weight. Each row starts from the closed-form
    conditional of `base` at sigma_min, Langevin steps adapt it to the score at that level, and a last step removes the
    noise. Langevin steps move a row by a few sigma_min only; on larger scales the result follows the mixture, not the
    score. steps + 1 evaluations.
    """
    generator = torch.Generator().manual_seed(seed)
    x = _start(base, columns, values, sigma_min, generator)
    free = _free(x, columns)
    x = _langevin(denoiser, x, sigma_min, free, steps, generator)
    return x + sigma_min**2 * free * _score(denoiser, x, sigma_min)


def conditional_mixture(
    mixture: Mixture, columns: Sequence[int], value: Tensor, sigma: float = 0.0
) -> Mixture:
    """Return the exact distribution of the free coordinates given the value [k] of `columns`, at noise level sigma."""
    given = _condition(mixture, columns, value[None], sigma)
    return Mixture(given.weights[0], given.means[0], given.covariances)


class _Conditional(NamedTuple):
    """Mixtures of the free coordinates, one per row of known values, with common covariances.

    weights [N, K], means [N, K, f], covariances [K, f, f].
    """

    weights: Tensor
    means: Tensor
    covariances: Tensor


def _condition(mixture: Mixture, columns: Sequence[int], values: Tensor, sigma: float) -> _Conditional:
    known, free = list(columns), _others(mixture.dim, columns)
    noisy = mixture.covariances + sigma**2 * torch.eye(mixture.dim, dtype=mixture.means.dtype)
    inner, cross = noisy[:, known][:, :, known], noisy[:, free][:, :, known]
    gain = torch.linalg.solve(inner, cross.mT).mT
    offset = values[:, None] - mixture.means[:, known]
    weights = Mixture(mixture.weights, mixture.means[:, known], inner).responsibilities(values)
    means = mixture.means[:, free] + (gain @ offset[..., None])[..., 0]
    return _Conditional(weights, means, noisy[:, free][:, :, free] - gain @ cross.mT)


def _start(
    base: Mixture, columns: Sequence[int], values: Tensor, sigma: float, generator: torch.Generator
) -> Tensor:
    given = _condition(base, columns, values, sigma)
    pick = torch.multinomial(given.weights, 1, generator=generator)[:, 0]
    noise = torch.randn(given.means[:, 0].shape, generator=generator, dtype=values.dtype)
    spread = torch.linalg.cholesky(given.covariances)[pick] @ noise[..., None]
    x = values.new_empty(len(values), base.dim)
    x[:, list(columns)] = values
    x[:, _others(base.dim, columns)] = given.means[torch.arange(len(pick)), pick] + spread[..., 0]
    return x


def _others(dim: int, columns: Sequence[int]) -> list[int]:
    return [column for column in range(dim) if column not in columns]


def _free(x: Tensor, columns: Sequence[int]) -> Tensor:
    """Return [d]: 0 for a known coordinate, 1 for a free one."""
    free = torch.ones_like(x[0])
    free[list(columns)] = 0
    return free


def _motion(denoiser: Scored, x: Tensor, sigma: float, columns: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return dx / d sigma of the ODE, [N, d], and d log w / d sigma, [N]."""
    slopes, rates = [], []
    for block in torch.split(x, _BLOCK):
        with torch.enable_grad():
            rows = block.detach().requires_grad_()
            score = denoiser.score(rows, sigma)
            rate = torch.zeros(len(rows), dtype=x.dtype)
            for column in columns:
                (gradient,) = torch.autograd.grad(score[:, column].sum(), rows, retain_graph=True)
                rate += gradient[:, column] + score[:, column].detach().square()
        slopes.append(-sigma * score.detach())
        rates.append(sigma * rate)
    return torch.cat(slopes), torch.cat(rates)


def _score(denoiser: Scored, x: Tensor, sigma: float) -> Tensor:
    return torch.cat([denoiser.score(block, sigma) for block in torch.split(x, _BLOCK)])


def _langevin(
    denoiser: Scored, x: Tensor, sigma: float, free: Tensor, steps: int, generator: torch.Generator
) -> Tensor:
    for _ in range(steps):
        noise = torch.randn(x.shape, generator=generator, dtype=x.dtype)
        x = langevin_step(x, free * _score(denoiser, x, sigma), sigma, _STEP, free * noise)
    return x


def _effective(weight: Tensor) -> float:
    """Return the effective sample size of weighted rows, from their log weights [N]."""
    share = weight.softmax(0)
    return float(1 / share.square().sum())


def _draw(weight: Tensor, generator: torch.Generator) -> Tensor:
    """Return row indices [N] by systematic resampling: each row occurs its expected number of times, within one."""
    share = weight.softmax(0).cumsum(0)
    place = (torch.arange(len(weight)) + torch.rand(1, generator=generator, dtype=weight.dtype)) / len(weight)
    return torch.searchsorted(share, place).clamp_max(len(weight) - 1)
