"""Forward-return density p(y | x): y is the log-return over the next `horizon` bars in units of its own volatility.

The net maps a state x to a Gaussian mixture over y. Noise of size sigma on y only widens each component, so
the score of y, the denoiser, the mean, quantiles and P(y > 0) are closed forms at every sigma, and the
density is normalised by construction. It is trained by denoising score matching on y; nothing is fitted by
maximum likelihood.

The score at y = 0 is the `forward` signal. By Tweedie's formula sigma^2 score(0) -> E[y | x] as sigma grows:
a positive score of the *coming* return says that it is expected to be positive. (The score of the return
already realised says the opposite.)

References:
    A Connection Between Score Matching and Denoising Autoencoders (Vincent, 2011).
    Strictly Proper Scoring Rules, Prediction, and Estimation (Gneiting & Raftery, 2007): CRPS.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from scorenet.config import ForwardConfig, NoiseConfig
from scorenet.networks import Mlp
from scorenet.noise import geometric_sigmas
from scorenet.training import Recipe, TrainingLog, fit, seeded

__all__ = ["ForwardNet", "ForwardReturn", "fit_forward_net", "forward_target"]

Array = NDArray[np.float64]

_NOISE = NoiseConfig(sigma_min=0.05, sigma_max=10.0, log_mean=0.0, log_std=1.2)


def forward_target(close: Array, volatility: Array, horizon: int) -> Array:
    """Return y [T]: log(close[t + h] / close[t]) / (volatility[t] sqrt(h)), NaN on the last h rows.

    `volatility` is the root mean square log-return per bar known at t.
    """
    out = np.full(len(close), np.nan)
    if len(close) > horizon:
        move = np.log(close[horizon:] / close[:-horizon])
        out[:-horizon] = move / (volatility[:-horizon] * math.sqrt(horizon))
    return out


class ForwardNet(nn.Module):
    """Create an ensemble of maps x [N, F] -> Gaussian mixture over y, each member in the first dimension."""

    def __init__(self, dim: int, hidden: int, members: int, components: int) -> None:
        super().__init__()
        self.components = components
        self.net = Mlp(dim, hidden, 3 * components + 1, members=members, layers=2)
        # Unconditional start: components of one centre and widths that span a heavy-tailed law.
        self.offset = nn.Parameter(torch.linspace(-0.3, 0.3, components).repeat(members, 1, 1))
        self.log_width = nn.Parameter(torch.linspace(-0.7, 0.9, components).repeat(members, 1, 1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return log weights, means and standard deviations, each [M, N, K]."""
        raw = self.net(x)
        k = self.components
        means = raw[..., :1] + self.offset + 0.5 * raw[..., 1 : k + 1]
        widths = (self.log_width + 0.5 * raw[..., k + 1 : 2 * k + 1]).clamp(-3.0, 3.0).exp()
        return _normalise(raw[..., 2 * k + 1 :], torch.log_softmax), means, widths

    def scores(self, x: Tensor, sigma: float) -> Tensor:
        """Return each member's score of y at y = 0 and noise level sigma, [M, N]."""
        return _score_at_zero(self(x), sigma)


def _mixture_score(parts: tuple[Tensor, Tensor, Tensor], y: Tensor, sigma: Tensor) -> Tensor:
    log_weights, means, widths = parts
    variance = widths.square() + sigma.square()
    gap = means - y
    share = _normalise(log_weights - 0.5 * gap.square() / variance - 0.5 * variance.log(), torch.softmax)
    return (share * gap / variance).sum(-1)


def _score_at_zero(parts: tuple[Tensor, Tensor, Tensor], sigma: float) -> Tensor:
    means = parts[1]
    return _mixture_score(parts, means.new_zeros(()), means.new_full((), sigma))


def _normalise(logits: Tensor, softmax: Callable[[Tensor, int], Tensor]) -> Tensor:
    # Over the last axis, by way of the one before it: along an axis of five torch's softmax is ten times slower.
    return softmax(logits.transpose(-1, -2), -2).transpose(-1, -2)


def fit_forward_net(
    x: Tensor,
    y: Tensor,
    held_x: Tensor,
    held_y: Tensor,
    config: ForwardConfig,
    *,
    seed: int,
    progress: bool = True,
) -> tuple[ForwardNet, TrainingLog]:
    """Fit p(y | x) by denoising score matching on y; x [N, F] scaled, y [N]. Members see different minibatches."""
    with seeded(seed) as generator:
        net = ForwardNet(x.shape[1], config.hidden, config.members, config.components)
    spread = float(y.abs().median()) / 0.6745
    with torch.no_grad():
        net.log_width.add_(math.log(max(spread, 1e-6)))
    shape = (config.members, config.batch_size)
    pools = _block_pools(len(x), config, generator)

    def loss() -> Tensor:
        pick = pools.gather(1, torch.randint(pools.shape[1], shape, generator=generator))
        # A little noise on x keeps the net from memorising single states (noise regularisation of density nets).
        states = x[pick] + config.feature_noise * torch.randn(*shape, x.shape[1], generator=generator)
        level = (_NOISE.log_mean + _NOISE.log_std * torch.randn(*shape, generator=generator)).exp()
        noise = torch.randn(shape, generator=generator)
        return _pair_loss(net(states), y[pick], level.clamp(_NOISE.sigma_min, _NOISE.sigma_max), noise).mean()

    levels = geometric_sigmas(_NOISE.sigma_min, _NOISE.sigma_max, 10).float()
    frozen = torch.randn(len(levels), len(held_y), generator=torch.Generator().manual_seed(0))

    def validate(module: nn.Module) -> float:
        with torch.no_grad():
            parts = module(held_x)
            total = 0.0
            for level, noise in zip(levels, frozen, strict=True):
                total += float(_pair_loss(parts, held_y, level.expand_as(held_y), noise).mean())
        return total / len(levels)

    recipe = Recipe(
        steps=config.steps,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        ema=0.995,
        checks=40,
    )
    log = fit(net, loss, validate, recipe, name="forward density", progress=progress)
    return net, log


def _block_pools(rows: int, config: ForwardConfig, generator: torch.Generator) -> Tensor:
    """Return [M, n] row numbers: each member learns from its own random share of the contiguous blocks.

    Slow features and overlapping returns make neighbouring rows near copies. Members that saw other blocks
    disagree about what only chance put there, so their mean forgets it and their spread says how much to
    doubt.
    """
    block = max(min(20 * config.horizon, rows // 16), 1)
    starts = torch.arange(0, rows - block + 1, block)
    kept = max(round(config.block_share * len(starts)), 1)
    chosen = torch.stack(
        [torch.randperm(len(starts), generator=generator)[:kept] for _ in range(config.members)]
    )
    return (starts[chosen][..., None] + torch.arange(block)).flatten(1)


def _pair_loss(parts: tuple[Tensor, Tensor, Tensor], y: Tensor, sigma: Tensor, noise: Tensor) -> Tensor:
    """Return the antithetic, level-weighted denoising loss of clean y at level sigma, one value a row."""
    weight, level = 1.0 + sigma.square(), sigma[..., None]
    total = torch.zeros(())
    for sign in (1.0, -1.0):
        noisy = y + sign * sigma * noise
        total = (
            total + weight * (sigma * _mixture_score(parts, noisy[..., None], level) + sign * noise).square()
        )
    return 0.5 * total


@dataclass(frozen=True)
class ForwardReturn:
    """p(y | x) of N states: the mixture over all ensemble members, y in volatility units of the horizon.

    Attributes:
        weights, means, widths: float64 [N, C], the pooled mixture.
        sigma: noise level at which `score` is read.
        member_scores: [M, N], the score at y = 0 by ensemble member.
    """

    weights: Array
    means: Array
    widths: Array
    sigma: float
    member_scores: Array

    @classmethod
    def from_net(cls, net: ForwardNet, x: Tensor, sigma: float) -> ForwardReturn:
        """Evaluate the ensemble on scaled states x [N, F]."""
        parts = net(x)
        scores = _score_at_zero(parts, sigma)
        members = parts[0].shape[0]
        weights, means, widths = (p.transpose(0, 1).reshape(len(x), -1) for p in parts)
        pooled = (weights.exp() / members).numpy()
        return cls(pooled, means.numpy(), widths.numpy(), sigma, scores.numpy())

    @property
    def score(self) -> Array:
        """Score of the forward return at y = 0 and level sigma, mean over the ensemble, [N]."""
        return np.asarray(self.member_scores.mean(axis=0))

    @property
    def score_std(self) -> Array:
        """Disagreement of the ensemble about the score, [N]."""
        return np.asarray(self.member_scores.std(axis=0))

    @property
    def mean(self) -> Array:
        """E[y | x], [N]."""
        return np.asarray((self.weights * self.means).sum(axis=1))

    @property
    def std(self) -> Array:
        """Standard deviation of y given x, [N]."""
        second = (self.weights * (self.means**2 + self.widths**2)).sum(axis=1)
        return np.asarray(np.sqrt(np.maximum(second - self.mean**2, 0.0)))

    @property
    def p_up(self) -> Array:
        """P(y > 0 | x), [N]."""
        return 1.0 - self.cdf(np.zeros(len(self.weights)))

    def cdf(self, y: Array) -> Array:
        """P(Y <= y | x), [N]: the probability integral transform at the outcome."""
        z = (np.asarray(y)[:, None] - self.means) / self.widths
        return np.asarray((self.weights * _normal_cdf(z)).sum(axis=1))

    def log_density(self, y: Array) -> Array:
        """log p(y | x), [N], nats per unit of y."""
        z = (np.asarray(y)[:, None] - self.means) / self.widths
        terms = np.log(self.weights) - 0.5 * z**2 - np.log(self.widths) - 0.5 * math.log(2 * math.pi)
        top = terms.max(axis=1, keepdims=True)
        return np.asarray(top[:, 0] + np.log(np.exp(terms - top).sum(axis=1)))

    def quantile(self, q: float) -> Array:
        """Return the q-quantile of y given x, [N], by bisection on the exact distribution function."""
        if not 0.0 < q < 1.0:
            raise ValueError(f"quantile: expected 0 < q < 1, found {q}")
        low = (self.means - 40 * self.widths).min(axis=1)
        high = (self.means + 40 * self.widths).max(axis=1)
        for _ in range(80):
            middle = 0.5 * (low + high)
            below = self.cdf(middle) < q
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return np.asarray(0.5 * (low + high))

    def crps(self, y: Array) -> Array:
        """Continuous ranked probability score of outcomes y [N] (lower is better), closed form of a mixture."""
        outcome = np.asarray(y)[:, None]
        first = (self.weights * _mean_abs(outcome - self.means, self.widths)).sum(axis=1)
        gap = self.means[:, :, None] - self.means[:, None, :]
        width = np.sqrt(self.widths[:, :, None] ** 2 + self.widths[:, None, :] ** 2)
        pairs = self.weights[:, :, None] * self.weights[:, None, :] * _mean_abs(gap, width)
        return np.asarray(first - 0.5 * pairs.sum(axis=(1, 2)))


def _normal_cdf(z: Array) -> Array:
    return np.asarray(torch.special.ndtr(torch.from_numpy(np.ascontiguousarray(z))).numpy())


def _mean_abs(mean: Array, std: Array) -> Array:
    """E|N(mean, std^2)|."""
    z = mean / std
    return np.asarray(
        mean * (2 * _normal_cdf(z) - 1) + 2 * std * np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
    )
