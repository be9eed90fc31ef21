"""Draw states some of whose coordinates are known: free ones by the score at the known values, shares by weights.

Known coordinates x_K stay at their values k at every noise level. The law aimed at is p_sigma(x_U | x_K = k) of the
free ones, sigma falling; they move by their part of the probability-flow ODE, dx_U = -sigma s_U d sigma. The heat
equation, d log p / d sigma = sigma (div s + |s|^2), says what this leaves for a weight to do, its known part:

    d log w / d sigma = sigma (div_K s_K + |s_K|^2)

Rows are drawn again by their weights where these grow uneven, and Langevin steps part the copies (sequential Monte
Carlo). No approximation but that of finite steps and rows: the shares of separate clusters come out right, too.
Overwriting the known coordinates with noised values, the usual way, is biased even on a Gaussian.

References:
    Sequential Monte Carlo Samplers (Del Moral, Doucet & Jasra, 2006).
    RePaint: Inpainting using Denoising Diffusion Probabilistic Models (Lugmayr et al., 2022): overwriting.
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

_POPULATION = 1024  # rows that share the weights: fewer would be too few to be drawn from
_BLOCK = 512  # rows scored at a time
_STEP = 0.05  # of the Langevin steps, in units of sigma^2: short enough to take no width away


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
    """Draw n scaled states [n, d] whose coordinates `known` (column -> value) have their values, up to noise sigma_min.

    The start is the conditional law of `base` at sigma_max. (steps - 1) * (2 + corrections) + 1 evaluations, of which
    2 * (steps - 1) are differentiated along each known coordinate.
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
    """Draw a scaled state [N, d] for each row of `values` [N, k] of the coordinates `columns`; steps + 1 evaluations.

    A row has no others to be weighed against. It starts from the closed form of `base` at sigma_min, Langevin steps
    fit it to the score there, and the last step takes the noise away: what reaches further than some sigma_min is
    the mixture's word, not the score's.
    """
    generator = torch.Generator().manual_seed(seed)
    x = _start(base, columns, values, sigma_min, generator)
    free = _free(x, columns)
    x = _langevin(denoiser, x, sigma_min, free, steps, generator)
    return x + sigma_min**2 * free * _score(denoiser, x, sigma_min)


def conditional_mixture(
    mixture: Mixture, columns: Sequence[int], value: Tensor, sigma: float = 0.0
) -> Mixture:
    """Return the exact law of the free coordinates, in their order, given the value [k] of `columns`, noised alike."""
    law = _condition(mixture, columns, value[None], sigma)
    return Mixture(law.weights[0], law.means[0], law.covariances)


class _Law(NamedTuple):
    """Given N values: weights [N, K], means [N, K, f] and the common covariances [K, f, f] of the free coordinates."""

    weights: Tensor
    means: Tensor
    covariances: Tensor


def _condition(mixture: Mixture, columns: Sequence[int], values: Tensor, sigma: float) -> _Law:
    known, free = list(columns), _others(mixture.dim, columns)
    noisy = mixture.covariances + sigma**2 * torch.eye(mixture.dim, dtype=mixture.means.dtype)
    inner, cross = noisy[:, known][:, :, known], noisy[:, free][:, :, known]
    gain = torch.linalg.solve(inner, cross.mT).mT
    offset = values[:, None] - mixture.means[:, known]
    weights = Mixture(mixture.weights, mixture.means[:, known], inner).responsibilities(values)
    means = mixture.means[:, free] + (gain @ offset[..., None])[..., 0]
    return _Law(weights, means, noisy[:, free][:, :, free] - gain @ cross.mT)


def _start(
    base: Mixture, columns: Sequence[int], values: Tensor, sigma: float, generator: torch.Generator
) -> Tensor:
    law = _condition(base, columns, values, sigma)
    pick = torch.multinomial(law.weights, 1, generator=generator)[:, 0]
    noise = torch.randn(law.means[:, 0].shape, generator=generator, dtype=values.dtype)
    spread = torch.linalg.cholesky(law.covariances)[pick] @ noise[..., None]
    x = values.new_empty(len(values), base.dim)
    x[:, list(columns)] = values
    x[:, _others(base.dim, columns)] = law.means[torch.arange(len(pick)), pick] + spread[..., 0]
    return x


def _others(dim: int, columns: Sequence[int]) -> list[int]:
    return [column for column in range(dim) if column not in columns]


def _free(x: Tensor, columns: Sequence[int]) -> Tensor:
    """Return [d]: 0 for a known coordinate, 1 for a free one."""
    free = torch.ones_like(x[0])
    free[list(columns)] = 0
    return free


def _motion(denoiser: Scored, x: Tensor, sigma: float, columns: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return dx / d sigma of the flow, [N, d], and d log w / d sigma, [N]."""
    slopes, rates = [], []
    for block in torch.split(x, _BLOCK):
        with torch.enable_grad():
            rows = block.detach().requires_grad_()
            score = denoiser.score(rows, sigma)
            rate = torch.zeros(len(rows), dtype=x.dtype)
            for column in columns:
                (turned,) = torch.autograd.grad(score[:, column].sum(), rows, retain_graph=True)
                rate += turned[:, column] + score[:, column].detach().square()
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
    """Return how many evenly weighted rows know as much as these."""
    share = weight.softmax(0)
    return float(1 / share.square().sum())


def _draw(weight: Tensor, generator: torch.Generator) -> Tensor:
    """Return row numbers [N] in proportion to their weights, evenly spaced: each within one of its due."""
    share = weight.softmax(0).cumsum(0)
    place = (torch.arange(len(weight)) + torch.rand(1, generator=generator, dtype=weight.dtype)) / len(weight)
    return torch.searchsorted(share, place).clamp_max(len(weight) - 1)
