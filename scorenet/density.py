"""The log-density of every bar: a net fitted to the heat-equation reference."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from scorenet.analytic import Mixture
from scorenet.config import DensityConfig, NoiseConfig
from scorenet.denoiser import Denoiser
from scorenet.divergence import denoiser_field
from scorenet.heat import heat_log_density
from scorenet.networks import Mlp
from scorenet.training import Recipe, TrainingLog, fit, seeded

__all__ = ["DensityNet", "fit_density_net"]


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
        covariance = base.covariance + sigma**2 * torch.eye(dim, dtype=base.means.dtype)
        factor = torch.linalg.cholesky(covariance)
        self.mean.copy_(base.mean)
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
    base = denoiser.base or Mixture.gaussian(x.double())
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
    return heat_log_density(denoiser_field(denoiser), base, x, progress=progress, **kwargs)  # type: ignore[arg-type]


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
