"""Train p(y | x) by denoising score matching on y: first the scale of the return, then its mean (the shift).

The two parts use different weights of the noise levels. The scale is well determined by the data and is learned first,
with equal weights: denoising score matching then minimises the same risk as maximum likelihood. The shift is small
compared with the noise. It is learned second, from noised states and with larger weights on large noise levels, where
the score at 0 is proportional to the expectation. It is then multiplied by a shrinkage factor estimated on held-out
rows.

References:
    A Connection Between Score Matching and Denoising Autoencoders (Vincent, 2011).
    Maximum Likelihood Training of Score-Based Diffusion Models (Song et al., 2021), arXiv 2101.09258.
    Information-Theoretic Diffusion (Kong, Brekelmans & Ver Steeg, 2023), arXiv 2302.03792: the equal weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..config import ForwardConfig, NoiseConfig
from ..score.noise import geometric_sigmas
from ..score.training import Recipe, TrainingLog, fit, fit_steps, pick_device
from ..score.warm import copy_weights
from .net import ForwardNet, Parts, mixture_score

__all__ = ["block_pools", "fit_forward_net", "pair_loss", "refit_forward_net", "shrinkage_factor"]

_NOISE = NoiseConfig(sigma_min=0.05, sigma_max=10.0, log_mean=0.0, log_std=1.2)
_UNTRAINED = 1e9  # never select a zero shift: the shrinkage factor sets its size, training only its direction
_HELD_ROWS = 4096  # rows for model selection: returns overlap, so more rows add little information
_LEAST_SHRINKAGE = 0.05  # a shift that fails on held-out rows keeps its sign, but hardly any of its size


def fit_forward_net(
    x: Tensor,
    y: Tensor,
    held_x: Tensor,
    held_y: Tensor,
    config: ForwardConfig,
    *,
    seed: int,
    overlap: int | None = None,
    scale_columns: Tensor | None = None,
    weights: Tensor | None = None,
    device: str = "cpu",
    start: ForwardNet | None = None,
    progress: bool = True,
) -> tuple[ForwardNet, TrainingLog]:
    """Fit p(y | x) by denoising score matching on y; x [N, F] scaled, y [N]. Members use different minibatches.

    `overlap` is the number of successive held-out rows whose returns share bars (default: the horizon).
    `scale_columns` [F] is 1 for the features that may set the scale (default: all). `weights` [N] are relative
    probabilities of training rows in the minibatches (default: equal). Random numbers are drawn on the CPU for every
    device. `start` gives the first weights, see `copy_weights`. Returns the net, on the CPU, and the training log of
    its shift; the log's `kept_steps` are those of scale and shift.
    """
    task = _Task(x, y, config, seed, scale_columns, weights, device, start)
    task.hold_out(held_x, held_y)
    scale_log = task.fit_scale(progress)
    log = task.fit_shift(progress)
    log.kept_steps = [scale_log.best_step, log.best_step]
    task.net.cpu()
    with torch.no_grad():
        task.net.belief.fill_(shrinkage_factor(task.net, held_x, held_y, overlap or config.horizon))
    return task.net, log


def refit_forward_net(
    x: Tensor,
    y: Tensor,
    config: ForwardConfig,
    *,
    seed: int,
    steps: Sequence[int],
    belief: float,
    scale_columns: Tensor | None = None,
    weights: Tensor | None = None,
    device: str = "cpu",
    start: ForwardNet | None = None,
    progress: bool = True,
) -> ForwardNet:
    """Fit p(y | x) on x [N, F] scaled, y [N] for the steps of scale and shift that `fit_forward_net` kept.

    `belief` is the shrinkage factor of the shift: rows that trained it cannot tell how much of it is chance. `start`
    gives the first weights, see `copy_weights`.
    """
    task = _Task(x, y, config, seed, scale_columns, weights, device, start)
    task.fit_scale(progress, steps[0])
    task.fit_shift(progress, steps[1])
    task.net.cpu()
    with torch.no_grad():
        task.net.belief.fill_(belief)
    return task.net


class _Task:
    """The net, its rows, the noise and the two passes of one training."""

    def __init__(
        self,
        x: Tensor,
        y: Tensor,
        config: ForwardConfig,
        seed: int,
        scale_columns: Tensor | None,
        weights: Tensor | None,
        device: str = "cpu",
        start: ForwardNet | None = None,
    ) -> None:
        target = pick_device(device)
        # Generators of its own, none of the process: forward nets train while another net draws from that one.
        first, generator = (torch.Generator().manual_seed(number) for number in (seed, seed + 1))
        net = ForwardNet(
            x.shape[1],
            config.hidden,
            config.members,
            config.components,
            config.scale_hidden,
            generator=first,
        )
        with torch.no_grad():
            net.log_width.add_(math.log(max(float(y.abs().median()) / 0.6745, 1e-6)))
            if scale_columns is not None:
                net.scale_columns.copy_(scale_columns)
        copy_weights(net, start, "forward net")
        self.net, self.x, self.y = net.to(target), x.to(target), y.to(target)
        self.config, self.generator, self.target = config, generator, target
        self.pools = block_pools(len(x), config, generator)
        # Cumulative, so that a draw is one search; None draws without one.
        self.cumulative = None if weights is None else weights.double()[self.pools].cumsum(1)
        self.levels = geometric_sigmas(_NOISE.sigma_min, _NOISE.sigma_max, 12).float().to(target)

    def hold_out(self, x: Tensor, y: Tensor) -> None:
        """Set the rows that select the weights."""
        kept = torch.linspace(0, len(y) - 1, min(len(y), _HELD_ROWS)).long()
        self.held_x, self.held_y = x[kept].to(self.target), y[kept].to(self.target)
        frozen = torch.Generator().manual_seed(0)
        self.frozen = torch.randn(len(self.levels), len(kept), generator=frozen).to(self.target)

    def fit_scale(self, progress: bool, steps: int | None = None) -> TrainingLog:
        config, net = self.config, self.net
        shape = (config.members, config.batch_size)
        low, high = math.log(_NOISE.sigma_min), math.log(_NOISE.sigma_max)

        def loss() -> Tensor:
            x, y = self._batch()
            # Stratified, one draw per cell of an even grid in ln sigma: equal weights for all levels, little variance.
            cells = (torch.arange(shape[1]) + torch.rand(shape, generator=self.generator)) / shape[1]
            sigma = (low + (high - low) * cells).exp().to(x)
            parts = net.shape(net.log_scale(x).exp(), x.new_zeros(()))
            return pair_loss(parts, y, sigma, torch.randn(shape, generator=self.generator).to(x)).mean()

        def validate(module: ForwardNet) -> float:
            with torch.no_grad():
                parts = module.shape(module.log_scale(self.held_x).exp(), self.held_x.new_zeros(()))
            return self._held_out(parts, lambda sigma: 1.0)

        recipe = Recipe(
            steps=config.scale_steps,
            learning_rate=config.scale_learning_rate,
            weight_decay=config.weight_decay,
            ema=0.99,
            patience=config.patience,
        )
        names = ("offset", "log_width", "logit", "slope", "scale")
        return self._fit(names, loss, validate if steps is None else steps, recipe, progress)

    def fit_shift(self, progress: bool, steps: int | None = None) -> TrainingLog:
        config, net, generator = self.config, self.net, self.generator
        shape = (config.members, config.batch_size)

        def loss() -> Tensor:
            x, y = self._batch()
            # Noise on x keeps the net from memorising single states (noise regularisation of density nets).
            blurred = x + config.feature_noise * torch.randn(x.shape, generator=generator).to(x)
            level = (_NOISE.log_mean + _NOISE.log_std * torch.randn(shape, generator=generator)).exp()
            sigma = level.clamp(_NOISE.sigma_min, _NOISE.sigma_max).to(x)
            noise = torch.randn(shape, generator=generator).to(x)
            return ((1.0 + sigma**2) * pair_loss(net(x, blurred), y, sigma, noise)).mean()

        def validate(module: ForwardNet) -> float:
            with torch.no_grad():
                if not bool(module.shift.weights[-1].any()):
                    return _UNTRAINED
                parts = module(self.held_x)
            return self._held_out(parts, lambda sigma: 1.0 + sigma**2)

        recipe = Recipe(
            steps=config.steps,
            learning_rate=config.learning_rate,
            weight_decay=config.weight_decay,
            ema=0.995,
            checks=40,
            patience=config.patience,
        )
        return self._fit(("shift",), loss, validate if steps is None else steps, recipe, progress)

    def _fit(
        self,
        names: tuple[str, ...],
        loss: Callable[[], Tensor],
        until: Callable[[ForwardNet], float] | int,
        recipe: Recipe,
        progress: bool,
    ) -> TrainingLog:
        """Train the named parameters until the step that validates best, or until a given step."""
        for name, parameter in self.net.named_parameters():
            parameter.requires_grad_(name.split(".")[0] in names)
        title = f"forward {names[-1]}"
        if isinstance(until, int):
            fit_steps(self.net, loss, until, recipe, name=f"{title}, refit", progress=progress)
            log = TrainingLog(best_step=until, kept_steps=[until])
        else:
            log = fit(self.net, loss, until, recipe, name=title, progress=progress)  # type: ignore[arg-type]
        self.net.requires_grad_(True)
        return log

    def _batch(self) -> tuple[Tensor, Tensor]:
        shape = (self.config.members, self.config.batch_size)
        if self.cumulative is None:
            drawn = torch.randint(self.pools.shape[1], shape, generator=self.generator)
        else:
            level = torch.rand(shape, generator=self.generator, dtype=torch.float64) * self.cumulative[:, -1:]
            drawn = torch.searchsorted(self.cumulative, level, right=True).clamp_max(self.pools.shape[1] - 1)
        pick = self.pools.gather(1, drawn).to(self.target).flatten()
        # A third of the time of indexing with a table of row numbers.
        return self.x.index_select(0, pick).view(*shape, -1), self.y.index_select(0, pick).view(shape)

    def _held_out(self, parts: Parts, weight: Callable[[float], float]) -> float:
        total = 0.0
        with torch.no_grad():
            for level, noise in zip(self.levels, self.frozen, strict=True):
                value = pair_loss(parts, self.held_y, level.expand_as(self.held_y), noise).mean()
                total += weight(float(level)) * float(value)
        return total / len(self.levels)


def shrinkage_factor(net: ForwardNet, x: Tensor, y: Tensor, overlap: int) -> float:
    """Return the factor in [0.05, 1] of the shift: its regression slope on rows x [N, F], y [N], shrunk towards 0.

    The prior of the slope is N(0, 1). Neighbouring returns share bars, so the standard error is computed from sums
    over blocks that are longer than the overlap.
    """
    with torch.no_grad():
        scale = net.log_scale(x).exp().mean(0)[:, 0].double()
        expected = (scale * net.shift(x).mean(0)[:, 0]).double()
        weight = scale**-2
        energy = float((weight * expected**2).sum())
        if energy == 0.0:
            return _LEAST_SHRINKAGE
        slope = float((weight * expected * y).sum()) / energy
        moment = weight * expected * (y - slope * expected)
        blocks = max(len(moment) // (2 * overlap), 1)
        variance = sum(float(part.sum()) ** 2 for part in moment.tensor_split(blocks)) / energy**2
    return min(max(slope / (1.0 + variance), _LEAST_SHRINKAGE), 1.0)


def block_pools(rows: int, config: ForwardConfig, generator: torch.Generator) -> Tensor:
    """Return [M, n] row indices: each member trains on its own random subset of contiguous blocks.

    Slow features and overlapping returns make neighbouring rows near copies, so resampling is by blocks. Members
    trained on different blocks disagree about chance patterns: their mean averages these out, and their spread measures
    the uncertainty.
    """
    block = max(min(20 * config.horizon, rows // 16), 1)
    starts = torch.arange(0, rows - block + 1, block)
    kept = max(round(config.block_share * len(starts)), 1)
    chosen = torch.stack(
        [torch.randperm(len(starts), generator=generator)[:kept] for _ in range(config.members)]
    )
    return (starts[chosen][..., None] + torch.arange(block)).flatten(1)


def pair_loss(parts: Parts, y: Tensor, sigma: Tensor, noise: Tensor) -> Tensor:
    """Return |sigma score + noise|^2 [M, N] of clean y at noise level sigma, averaged over noise and its opposite.

    y, sigma and noise are [N] or [M, N]. The score of the mixtures [M, N, K] is taken at y + sigma noise.
    """
    level, total = sigma[..., None], y.new_zeros(())
    for sign in (1.0, -1.0):
        noisy = y + sign * sigma * noise
        total = total + (sigma * mixture_score(parts, noisy[..., None], level) + sign * noise).square()
    return 0.5 * total
