"""Normalised log-density of the state: a reference by the heat equation, and a net fitted to it for every bar.

The noised density obeys d log p_sigma(x) / d ln sigma = sigma^2 (div s + |s|^2) at fixed x, so

    log p_a(x) = log p_b(x) - integral from ln a to ln b of sigma^2 (div s + |s|^2) d ln sigma,

and at a large b the noised data is its own Gaussian fit. No path through empty space, no unknown constant.

References:
    Score-Based Generative Modeling through Stochastic Differential Equations (Song et al., 2021), arXiv 2011.13456.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from tqdm import tqdm

from scorenet.analytic import Mixture
from scorenet.config import DensityConfig, NoiseConfig
from scorenet.denoiser import Denoiser
from scorenet.networks import Mlp
from scorenet.training import Recipe, TrainingLog, fit, seeded

__all__ = ["DensityNet", "fit_density_net", "heat_log_density", "score_and_divergence"]

Score = Callable[[Tensor, Tensor], Tensor]


def score_and_divergence(score: Score, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """Return score [N, d] and its exact divergence [N], by one backward pass an axis."""
    dim = x.shape[1]
    with torch.enable_grad():
        rows = x.detach().requires_grad_()
        value = score(rows, sigma)
        divergence = torch.zeros(len(x), dtype=x.dtype)
        for axis in range(dim):
            (slope,) = torch.autograd.grad(value[:, axis].sum(), rows, retain_graph=axis + 1 < dim)
            divergence += slope[:, axis]
    return value.detach(), divergence


def heat_log_density(
    score: Score,
    base: Mixture,
    x: Tensor,
    *,
    sigma: float,
    sigma_max: float,
    nodes: int = 10,
    block: int = 512,
    progress: bool = False,
) -> Tensor:
    """Return log p_sigma(x) of scaled rows x [N, d], nats, by the heat equation at fixed x.

    `base` is the Gaussian fit of the data that closes the integral at `sigma_max`.
    """
    # Gauss-Legendre in ln sigma: the integrand is smooth, and 10 nodes are within 0.01 nat of 64.
    points, weights = _legendre(nodes, math.log(sigma), math.log(sigma_max))
    out = base.log_density(x.double(), sigma_max).to(x.dtype)
    blocks = range(0, len(x), block)
    for begin in tqdm(blocks, desc="log-density", unit="block", disable=not progress, leave=False):
        rows = x[begin : begin + block]
        total = torch.zeros(len(rows), dtype=x.dtype)
        for level, weight in zip(points.exp(), weights, strict=True):
            column = level.to(x.dtype).expand(len(rows), 1)
            value, divergence = score_and_divergence(score, rows, column)
            total += weight * level**2 * (divergence + value.square().sum(1))
        out[begin : begin + block] -= total
    return out


def _legendre(nodes: int, low: float, high: float) -> tuple[Tensor, Tensor]:
    # Golub & Welsch: nodes and weights from the Jacobi matrix of the Legendre polynomials.
    k = torch.arange(1, nodes, dtype=torch.float64)
    off = k / (4 * k**2 - 1).sqrt()
    values, vectors = torch.linalg.eigh(torch.diag(off, 1) + torch.diag(off, -1))
    half = (high - low) / 2
    return (low + high) / 2 + half * values, half * 2 * vectors[0] ** 2


class DensityNet(nn.Module):
    """Give log p_sigma(x) [N] of scaled rows [N, d] in one pass: a Gaussian baseline plus a learned correction."""

    mean: Tensor
    whiten: Tensor
    log_norm: Tensor

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("whiten", torch.eye(dim))
        self.register_buffer("log_norm", torch.zeros(()))
        self.net = Mlp(dim + 1, hidden, 1, layers=3)

    def centre(self, base: Mixture, sigma: float) -> None:
        """Set the baseline to `base` noised to sigma."""
        dim = len(self.mean)
        covariance = base.covariances[0] + sigma**2 * torch.eye(dim, dtype=base.means.dtype)
        factor = torch.linalg.cholesky(covariance)
        self.mean.copy_(base.means[0])
        self.whiten.copy_(torch.linalg.inv(factor).T)
        self.log_norm.copy_(-0.5 * dim * math.log(2 * math.pi) - factor.diagonal().log().sum())

    def forward(self, x: Tensor) -> Tensor:
        white = (x - self.mean) @ self.whiten
        energy = 0.5 * white.square().sum(1, keepdim=True)
        # The baseline's own energy is an input: most of the correction is a bend of the Gaussian's tail.
        inputs = torch.cat((x, energy.log1p()), dim=1)
        return torch.as_tensor(
            self.log_norm - energy[:, 0] + self.net(inputs)[0, :, 0] * (1 + energy[:, 0]).sqrt()
        )


def fit_density_net(
    denoiser: Denoiser,
    x: Tensor,
    held_out: Tensor,
    config: DensityConfig,
    noise: NoiseConfig,
    *,
    seed: int,
    progress: bool = True,
) -> tuple[DensityNet, TrainingLog, dict[str, float]]:
    """Fit the per-bar net to the heat-equation log-density, on data rows and on rows pushed off the data.

    Returns the net, its log, and its error against the reference on `held_out` (`rmse` and `bias`, nats;
    `entropy` is minus the mean reference log-density).
    """
    base = Mixture.gaussian(x.double())
    kwargs = {"sigma": config.sigma, "sigma_max": noise.sigma_max, "nodes": config.nodes}
    with seeded(seed) as generator, torch.no_grad():
        rows = _spread_rows(x, config.points, generator)
        labels = _label(denoiser, base, rows, kwargs, progress)
        check = held_out[torch.linspace(0, len(held_out) - 1, min(len(held_out), 1500)).long()]
        truth = _label(denoiser, base, check, kwargs, progress)
        net = DensityNet(x.shape[1], config.hidden)
        net.centre(base, config.sigma)
    order = torch.randperm(len(rows), generator=generator)
    held, kept = order[: len(order) // 10], order[len(order) // 10 :]

    def loss() -> Tensor:
        pick = kept[torch.randint(len(kept), (config.batch_size,), generator=generator)]
        value = _relative_error(net, rows[pick], labels[pick])
        return value + config.slope_weight * _slope_error(net, denoiser, rows[pick], config.sigma, generator)

    def validate(module: nn.Module) -> float:
        with torch.no_grad():
            return float(_relative_error(module, rows[held], labels[held]))

    recipe = Recipe(steps=config.steps, learning_rate=config.learning_rate, weight_decay=1e-3, ema=0.99)
    log = fit(net, loss, validate, recipe, name="density net", progress=progress)
    with torch.no_grad():
        gap = net(check) - truth
    error = {
        "rmse": float(gap.square().mean().sqrt()),
        "bias": float(gap.mean()),
        "entropy": -float(truth.mean()),
    }
    return net, log, error


def _relative_error(net: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    # Errors matter near the threshold; far in the tail a nat more or less decides nothing.
    tolerance = 1.0 + 0.05 * (target - target.median()).abs()
    return torch.nn.functional.huber_loss(net(x) / tolerance, target / tolerance, delta=2.0)


def _slope_error(
    net: DensityNet, denoiser: Denoiser, x: Tensor, sigma: float, generator: torch.Generator
) -> Tensor:
    """Match the net's gradient to the score around x: d numbers a row, and no label to pay for."""
    near = (x + sigma * torch.randn(x.shape, generator=generator)).requires_grad_()
    (slope,) = torch.autograd.grad(net(near).sum(), near, create_graph=True)
    with torch.no_grad():
        score = denoiser.score(near, sigma)
        tolerance = 1.0 + score.square().mean(dim=1, keepdim=True)
    return ((slope - score).square() / tolerance).mean()


def _label(
    denoiser: Denoiser, base: Mixture, x: Tensor, kwargs: dict[str, float | int], progress: bool
) -> Tensor:
    return heat_log_density(denoiser.score, base, x, progress=progress, **kwargs)  # type: ignore[arg-type]


def _spread_rows(x: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """Draw n rows where novelty has to be graded: a third on the data, a third pushed off it by noise of 0.1
    to 3, and a third that mixes the coordinates of two states, each plausible, together perhaps not.
    """
    pick = x[torch.randint(len(x), (n,), generator=generator)]
    other = x[torch.randint(len(x), (n,), generator=generator)]
    swap = torch.rand(pick.shape, generator=generator) < 0.3 * torch.rand(n, 1, generator=generator)
    sigma = (torch.rand(n, 1, generator=generator) * math.log(30.0)).exp() * 0.1
    kind = torch.randint(3, (n, 1), generator=generator)
    mixed = torch.where((kind == 2) & swap, other, pick)
    return mixed + torch.where(kind == 1, sigma, torch.zeros(())) * torch.randn(
        pick.shape, generator=generator
    )
