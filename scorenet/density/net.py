"""Fast log-density for every bar: the base mixture's, plus a network fitted to the heat-equation correction."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from ..base.printable import one_line
from ..config import DensityConfig, NoiseConfig
from ..score.divergence import Field, denoiser_field, sampled_field
from ..score.mixture import Mixture
from ..score.networks import Mlp
from ..score.score_module import ScoreModule
from ..score.side_by_side import aside
from ..score.training import Recipe, TrainingLog, fit, pick_device, seeded
from ..score.warm import copy_weights
from .heat import heat_log_density
from .tabled import TabledLoss, label_tolerance, slope_tolerance

__all__ = ["DensityNet", "fit_density_net", "slope_error"]


class DensityNet(nn.Module):
    """Compute log p_sigma(x) [N] of scaled rows [N, d] in one forward pass: a mixture's plus a learned correction."""

    whiten: Tensor
    centres: Tensor
    peaks: Tensor

    def __init__(self, base: Mixture, sigma: float, hidden: int) -> None:
        super().__init__()
        spectrum = base.spectrum(base.means.double())
        root = (spectrum.variances + sigma**2).rsqrt()
        volume = root.log().sum(1) - 0.5 * base.dim * math.log(2 * math.pi)
        # Not saved: all three are computed from the mixture, which model folders store in full precision.
        self.register_buffer("whiten", spectrum.axes * root.flatten(), persistent=False)
        self.register_buffer("centres", (spectrum.centres * root).flatten(), persistent=False)
        self.register_buffer("peaks", spectrum.log_weights + volume, persistent=False)
        self.net = Mlp(base.dim + 1, hidden, 1, layers=3)

    def __repr__(self) -> str:
        return one_line(self, f"{sum(p.numel() for p in self.parameters()):,} weights")

    def forward(self, x: Tensor) -> Tensor:
        start = self.base_log_density(x)
        energy = self.energy(start)[:, None]
        raw = torch.as_tensor(self.net(torch.cat((x, energy.log1p()), dim=1)))[0]
        return start + raw[:, 0] * (1 + energy[:, 0]).sqrt()

    def energy(self, start: Tensor) -> Tensor:
        """Return the distance below the highest peak, nats, of log-densities [N] of the mixture.

        Most of the correction lies in the tails of the mixture.
        """
        return (self.peaks.max().to(start) - start).clamp_min(0.0)

    def base_log_density(self, x: Tensor) -> Tensor:
        """Return log q_sigma(x) of the mixture, [N], nats."""
        white = torch.addmm(-self.centres.to(x), x, self.whiten.to(x))
        distance = white.square().view(len(x), len(self.peaks), x.shape[1]).sum(2)
        return torch.logsumexp(self.peaks.to(x) - 0.5 * distance, dim=1)


def fit_density_net(
    denoiser: ScoreModule,
    x: Tensor,
    held_out: Tensor,
    config: DensityConfig,
    noise: NoiseConfig,
    *,
    seed: int,
    device: str = "cpu",
    start: DensityNet | None = None,
    progress: bool = True,
) -> tuple[DensityNet, TrainingLog, dict[str, float]]:
    """Fit the per-bar net to the heat-equation log-density, on data rows and on rows moved away from the data.

    Random numbers are drawn on the CPU for every device, and the net is returned there. Returns the net, its log, and
    its error against the reference on `held_out` (`rmse` and `bias`, nats; `entropy` is minus the mean reference
    log-density). `start` gives the first weights, see `copy_weights`.
    """
    target = pick_device(device)
    base = denoiser.base or Mixture.gaussian(x.double())
    levels = {"sigma": config.sigma, "sigma_max": noise.sigma_max}
    score_net = denoiser if target.type == "cpu" else copy.deepcopy(denoiser).to(target)
    with seeded(seed) as generator, torch.no_grad():
        rows = _spread_rows(x, config.points, generator).to(target)
        # The labels use a random estimate of the divergence: many noisy labels give a better fit than few exact ones.
        field = sampled_field(score_net, generator)
        checked = torch.linspace(0, len(held_out) - 1, min(len(held_out), config.check_rows)).long()
        check = held_out[checked].to(target)
        exact = denoiser_field(score_net)
        truth = aside(partial(_label, exact, base, check, levels | {"nodes": config.nodes}, progress))
        labels = _label(field, base, rows, levels | {"nodes": config.label_nodes}, progress)
        net = DensityNet(base, config.sigma, config.hidden).to(target)
    copy_weights(net, start, "density net")
    order = torch.randperm(len(rows), generator=generator).to(target)
    held, kept = order[: len(order) // 10], order[len(order) // 10 :]

    def pick() -> Tensor:
        return kept[torch.randint(len(kept), (config.batch_size,), generator=generator).to(target)]

    def fresh() -> Tensor:
        rows_now = pick()
        value = _relative_error(net, rows[rows_now], labels[rows_now])
        return value + config.slope_weight * slope_error(
            net, score_net, rows[rows_now], config.sigma, generator
        )

    def validate(module: nn.Module) -> float:
        with torch.no_grad():
            return float(_relative_error(module, rows[held], labels[held]))

    loss: Callable[[], Tensor] = fresh
    if not config.fresh_slopes:
        tabled = TabledLoss(net, score_net, base, rows, labels, config.sigma, config.slope_weight)
        loss = lambda: tabled(pick())  # noqa: E731, one of two losses
    recipe = Recipe(steps=config.steps, learning_rate=config.learning_rate, weight_decay=1e-3, ema=0.99)
    log = fit(net, loss, validate, recipe, name="density net", progress=progress)
    with torch.no_grad():
        reference = truth.result()
        gap = net(check) - reference
    error = {
        "rmse": float(gap.square().mean().sqrt()),
        "bias": float(gap.mean()),
        "entropy": -float(reference.mean()),
    }
    return net.cpu(), log, error


def _relative_error(net: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    tolerance = label_tolerance(target)
    return torch.nn.functional.huber_loss(net(x) / tolerance, target / tolerance, delta=2.0)


def slope_error(
    net: DensityNet, denoiser: ScoreModule, x: Tensor, sigma: float, generator: torch.Generator
) -> Tensor:
    """Return the squared error of the net's gradient against the score at noised rows x [N, d]; needs no labels.

    Each row's error is divided by one plus the mean square of its score, so that far rows, where it is steep, do not
    outweigh the others.
    """
    near = (x + sigma * torch.randn(x.shape, generator=generator).to(x)).requires_grad_()
    (slope,) = torch.autograd.grad(net(near).sum(), near, create_graph=True)
    with torch.no_grad():
        score = denoiser.score(near, sigma)
        tolerance = slope_tolerance(score)
    return ((slope - score).square() / tolerance).mean()


def _label(field: Field, base: Mixture, x: Tensor, kwargs: dict[str, float | int], progress: bool) -> Tensor:
    with torch.no_grad():  # a setting of the thread, and this may run aside
        return heat_log_density(field, base, x, progress=progress, **kwargs)  # type: ignore[arg-type]


def _spread_rows(x: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """Draw n rows [n, d] on and off the data.

    A third are data rows, a third are data rows plus noise of size 0.1 to 3, a third mix coordinates of two data
    rows.
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
