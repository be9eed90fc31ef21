"""Samplers for any score model: Heun on the probability-flow ODE, predictor-corrector, annealed Langevin.

All start from a Gaussian with the mean and covariance of `base` plus noise of sigma_max, not from N(0, sigma_max^2),
which lacks the covariance of the data. All end with a Tweedie step from the last noise level to the clean state. Heun
needs by far the fewest evaluations; the others are there for comparison.

References:
    Elucidating the Design Space of Diffusion-Based Generative Models (Karras et al., 2022), algorithm 1: Heun.
    Score-Based Generative Modeling through Stochastic Differential Equations (Song et al., 2021), algorithms 2 and 4.
    Improved Techniques for Training Score-Based Generative Models (Song & Ermon, 2020): Langevin, denoised.
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor

from ..score.mixture import Mixture
from ..score.noise import geometric_sigmas, karras_sigmas
from .registry import Scored, register_sampler

__all__ = ["corrected_langevin", "heun", "langevin", "langevin_step", "predictor_corrector"]

_PILOTS = 256  # rows that set the size of a corrector step: enough for an error below one per cent


@register_sampler("heun")
@torch.no_grad()
def heun(
    denoiser: Scored,
    base: Mixture,
    n: int,
    seed: int,
    *,
    sigma_min: float = 0.05,
    sigma_max: float = 20.0,
    steps: int = 18,
) -> Tensor:
    """Draw n scaled states [n, d] by Heun's method on the probability-flow ODE; 2 * steps - 1 evaluations."""
    x = _start(base, n, sigma_max, torch.Generator().manual_seed(seed))
    sigmas = karras_sigmas(sigma_min, sigma_max, steps).tolist()
    for here, there in itertools.pairwise(sigmas):
        slope = -here * denoiser.score(x, here)
        ahead = x + (there - here) * slope
        x = x + (there - here) * 0.5 * (slope - there * denoiser.score(ahead, there))
    return _tweedie(denoiser, x, sigmas[-1])


@register_sampler("predictor_corrector")
@torch.no_grad()
def predictor_corrector(
    denoiser: Scored,
    base: Mixture,
    n: int,
    seed: int,
    *,
    sigma_min: float = 0.05,
    sigma_max: float = 20.0,
    steps: int = 250,
    corrections: int = 1,
    signal_to_noise: float = 0.16,
) -> Tensor:
    """Draw n scaled states [n, d] by reverse diffusion with Langevin corrections at each noise level.

    The step size of a correction is 2 (signal_to_noise |noise| / |score|)^2. The papers average the two norms over the
    batch. Here they are averaged over extra pilot rows, the same for every n and seed, so that a row does not depend
    on its batch. (steps - 1) * (1 + corrections) + 1 evaluations.
    """
    parts = ((_PILOTS, torch.Generator().manual_seed(0)), (n, torch.Generator().manual_seed(seed)))
    x = torch.cat([_start(base, rows, sigma_max, generator) for rows, generator in parts])

    def drawn() -> Tensor:
        return torch.cat([_noise(x[:rows], generator) for rows, generator in parts])

    sigmas = geometric_sigmas(sigma_min, sigma_max, steps).flip(0).tolist()
    for here, there in itertools.pairwise(sigmas):
        lost = here**2 - there**2
        x = x + lost * denoiser.score(x, here) + math.sqrt(lost) * drawn()
        for _ in range(corrections):
            score, noise = denoiser.score(x, there), drawn()
            ratio = noise[:_PILOTS].norm(dim=1).mean() / score[:_PILOTS].norm(dim=1).mean()
            length = 2 * (signal_to_noise * ratio) ** 2
            x = x + length * score + (2 * length).sqrt() * noise
    return _tweedie(denoiser, x[_PILOTS:], sigmas[-1])


@register_sampler("corrected_langevin")
@torch.no_grad()
def corrected_langevin(
    denoiser: Scored,
    base: Mixture,
    n: int,
    seed: int,
    *,
    sigma_min: float = 0.05,
    sigma_max: float = 20.0,
    levels: int = 111,
    steps: int = 9,
    step: float = 0.1,
) -> Tensor:
    """Draw n scaled states [n, d] by `steps` Langevin steps at each of `levels` noise levels (see `langevin_step`).

    levels * steps + 1 evaluations.
    """
    kept = math.sqrt(step * (2 - step))
    return _annealed(denoiser, base, n, seed, (sigma_min, sigma_max), (levels, steps), step, kept)


@register_sampler("langevin")
@torch.no_grad()
def langevin(
    denoiser: Scored,
    base: Mixture,
    n: int,
    seed: int,
    *,
    sigma_min: float = 0.05,
    sigma_max: float = 20.0,
    levels: int = 111,
    steps: int = 9,
    step: float = 0.1,
) -> Tensor:
    """Draw n scaled states [n, d] by standard annealed Langevin dynamics, which is exact only for very small steps.

    At each level the noise variance is too large by the factor 1 / (1 - step / 2). levels * steps + 1 evaluations. The
    chapter's version, which has further flaws, is `chapter_langevin`.
    """
    usual = math.sqrt(2 * step)
    return _annealed(denoiser, base, n, seed, (sigma_min, sigma_max), (levels, steps), step, usual)


def _annealed(
    denoiser: Scored,
    base: Mixture,
    n: int,
    seed: int,
    sigmas: tuple[float, float],
    counts: tuple[int, int],
    step: float,
    noise: float,
) -> Tensor:
    """Run Langevin steps from the largest to the smallest level; `noise` is the std of a step in units of sigma."""
    (low, high), (levels, steps) = sigmas, counts
    generator = torch.Generator().manual_seed(seed)
    x = _start(base, n, high, generator)
    schedule = geometric_sigmas(low, high, levels).flip(0).tolist()
    for sigma in schedule:
        for _ in range(steps):
            score = denoiser.score(x, sigma)
            x = x + step * sigma**2 * score + noise * sigma * _noise(x, generator)
    return _tweedie(denoiser, x, schedule[-1])


def langevin_step(x: Tensor, score: Tensor, sigma: float, step: float, noise: Tensor) -> Tensor:
    """Move rows x [N, d] by step * sigma^2 times their score, plus noise that leaves N(0, sigma^2) unchanged.

    The usual noise, sqrt(2 step) sigma, is right only for very small steps: its stationary variance is
    sigma^2 / (1 - step / 2).
    """
    return x + step * sigma**2 * score + math.sqrt(step * (2 - step)) * sigma * noise


def _start(base: Mixture, n: int, sigma_max: float, generator: torch.Generator) -> Tensor:
    noisy = base.covariance + sigma_max**2 * torch.eye(base.dim, dtype=base.means.dtype)
    start = torch.randn(n, base.dim, generator=generator, dtype=base.means.dtype)
    return torch.as_tensor(base.mean + start @ torch.linalg.cholesky(noisy).T)


def _noise(x: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(x.shape, generator=generator, dtype=x.dtype)


def _tweedie(denoiser: Scored, x: Tensor, sigma: float) -> Tensor:
    return x + sigma**2 * denoiser.score(x, sigma)
