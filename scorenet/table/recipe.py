"""Fit the density of a scaled table: a mixture, kernel estimates of several widths and a score net, combined."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..config import NoiseConfig, StateConfig
from ..sampling.registry import SAMPLERS
from ..score.fit import build_denoiser, fit_base, fit_denoiser
from ..score.mixture import Mixture
from ..score.score_module import ScoreModule
from .kernels import Kernels
from .stacking import Member, NetDensity, Stack, stacking_weights, strongest

__all__ = ["FittedTable", "TableRecipe", "fit_stack"]

_CENTRES = 8_192  # largest number of rows with a kernel
_JUDGES = 2_000  # held-out rows that set the weights of the members
_LEAST = 1e-3  # members with a smaller weight are dropped: they cost time and change nothing
_NET_ROWS = 400  # with fewer rows a net does not improve on mixture and kernels
_MIXTURE_COST = 1e7  # limit of rows x columns^2 for the mixture search
_MIXTURE_SHARE = 0.25  # share of a time limit that the mixture search may take
_LATER_ROWS = 2_000  # rows scored after the fit, to set the threshold
_TIMED_ROWS = 64


@dataclass(frozen=True, kw_only=True)
class TableRecipe:
    """Settings of the members of the density and of the training time.

    Attributes:
        shaped: widths of the kernels with the mixture components' covariances; 1 is the mixture itself.
        round: widths of the kernels with the same standard deviation in every scaled column.
    """

    shaped: tuple[float, ...] = (1.0, 0.6, 0.35, 0.2, 0.1)
    round: tuple[float, ...] = (0.6, 0.35, 0.2, 0.1)
    state: StateConfig = field(default_factory=StateConfig)
    noise: NoiseConfig = field(default_factory=NoiseConfig)
    sampler: str = "heun"
    seed: int = 0
    device: str = "auto"
    max_seconds: float | None = None
    progress: bool = False


@dataclass(frozen=True, eq=False)
class FittedTable:
    """A stacked density, and out-of-sample log-densities of held-out rows, comparable with those of new rows.

    Attributes:
        stack: the density of scaled rows.
        judges: indices of the held-out rows that set the weights, [M].
        log_densities: their log-densities under members that were not fitted to them, [M].
    """

    stack: Stack
    judges: Tensor
    log_densities: Tensor


def fit_stack(z: Tensor, resolution: Tensor, recipe: TableRecipe) -> FittedTable:
    """Fit scaled rows z [N, d]; `resolution` [d] is the standard deviation of a value within its lattice cell.

    Four fifths of the rows fit the members, one fifth (at most 5,000) selects them and sets their weights. The final
    kernels use the rows of both parts.
    """
    started = time.monotonic()
    generator = torch.Generator().manual_seed(recipe.seed)
    order = torch.randperm(len(z), generator=generator)
    fifth = max(min(len(z) // 5, 5_000), 1)
    held, kept = order[:fifth], order[fifth:]
    # A discrete distribution has no score: for the mixture and the net, noise spreads the rows within their cells.
    smooth = torch.randn(z.shape, generator=generator).mul_(resolution.float()).add_(z)
    mixture = _mixture(smooth[kept], smooth[held], recipe)
    nets: list[Member] = []
    if len(z) >= _NET_ROWS:
        left = None
        if recipe.max_seconds is not None:
            scoring = _seconds_a_row(mixture, z, recipe) * (
                min(len(held), _JUDGES) + min(len(z), _LATER_ROWS)
            )
            left = max(recipe.max_seconds - (time.monotonic() - started) - scoring, 0.1)
        denoiser, _ = fit_denoiser(
            smooth[kept], smooth[held], recipe.state, recipe.noise, base=mixture, seed=recipe.seed,
            device=recipe.device, max_seconds=left, progress=recipe.progress,
        )  # fmt: skip
        nets = [_net_density(denoiser, recipe)]
    judges = held[:_JUDGES]
    rows = z[judges].double()
    candidates = [*_kernels(mixture, z[kept[:_CENTRES]], resolution, recipe), *nets]
    logs = torch.stack([member.log_density(rows, recipe.noise.sigma_min) for member in candidates], dim=1)
    everything = order[torch.randperm(len(order), generator=generator)[:_CENTRES]]
    final = [*_kernels(mixture, z[everything], resolution, recipe), *nets]
    weights = stacking_weights(logs)
    return FittedTable(strongest(final, weights, _LEAST), judges, (logs + weights.log()).logsumexp(dim=1))


def _mixture(rows: Tensor, held: Tensor, recipe: TableRecipe) -> Mixture:
    squared = rows.shape[1] ** 2
    few = rows[: int(min(max(_MIXTURE_COST / squared, 2_000), 20_000))]
    seconds = None if recipe.max_seconds is None else _MIXTURE_SHARE * recipe.max_seconds
    mixture = fit_base(few, held, recipe.state, recipe.noise, seed=recipe.seed, seconds=seconds)
    assert mixture is not None  # noqa: S101, max_components is at least 1
    return mixture


def _seconds_a_row(mixture: Mixture, z: Tensor, recipe: TableRecipe) -> float:
    """Return the seconds that the net's log-density takes per row, timed on an untrained net of the same size."""
    net = _net_density(build_denoiser(z.shape[1], recipe.state, recipe.noise, mixture), recipe)
    began = time.monotonic()
    net.log_density(z[:_TIMED_ROWS].double(), recipe.noise.sigma_min)
    return (time.monotonic() - began) / _TIMED_ROWS


def _net_density(denoiser: ScoreModule, recipe: TableRecipe) -> NetDensity:
    noise, sampler = recipe.noise, SAMPLERS[recipe.sampler]
    return NetDensity(denoiser.double().eval(), noise.sigma_min, noise.sigma_max, sampler)


def _kernels(mixture: Mixture, rows: Tensor, resolution: Tensor, recipe: TableRecipe) -> list[Member]:
    centres, cells = rows.double(), resolution.double()
    middle = torch.zeros_like(centres[:1])
    return [
        *(Kernels.shaped(mixture, centres, width, cells) for width in recipe.shaped),
        *(Kernels.round(centres, width, cells) for width in recipe.round),
        # With fewer rows than columns no covariance can be estimated; independent columns are a safe fallback.
        Kernels.round(middle, 1.0, cells),
    ]
