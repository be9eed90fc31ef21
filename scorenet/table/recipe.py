"""Fit the density of a scaled table: a mixture, kernels of several widths, and a score net, stacked."""

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

_CENTRES = 8_192  # rows that carry a kernel
_JUDGES = 2_000  # held-out rows that weigh the members
_LEAST = 1e-3  # a member of less weight costs time and changes nothing
_NET_ROWS = 400  # with fewer rows a net learns nothing that mixture and kernels do not know
_MIXTURE_COST = 1e7  # rows x columns^2 that the search for a mixture may take
_MIXTURE_SHARE = 0.25  # of a time limit that the search for a mixture may take
_LATER_ROWS = 2_000  # rows that are scored after the fit, for the threshold
_TIMED_ROWS = 64


@dataclass(frozen=True, kw_only=True)
class TableRecipe:
    """What is stacked and how long it may take.

    Attributes:
        shaped: widths of the kernels shaped like the mixture's components; 1 is the mixture itself.
        round: widths of the kernels that are equally wide in all scaled columns.
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
    """A stack, and out-of-sample log-densities of some of its rows, comparable with those of new rows.

    Attributes:
        stack: the density of scaled rows.
        judges: numbers of the held-out rows that weighed the members, [M].
        log_densities: their log-densities by members that had not been fitted to them, [M].
    """

    stack: Stack
    judges: Tensor
    log_densities: Tensor


def fit_stack(z: Tensor, grain: Tensor, recipe: TableRecipe) -> FittedTable:
    """Fit scaled rows z [N, d], whose lattice columns have cells of standard deviation `grain` [d].

    Four fifths of the rows fit the members, one fifth (at most 5,000) selects and weighs them; then the rows of
    both carry kernels.
    """
    started = time.monotonic()
    generator = torch.Generator().manual_seed(recipe.seed)
    order = torch.randperm(len(z), generator=generator)
    fifth = max(min(len(z) // 5, 5_000), 1)
    held, kept = order[:fifth], order[fifth:]
    # A lattice has no score: rows are blurred within their cells for the mixture and the net.
    smooth = torch.randn(z.shape, generator=generator).mul_(grain.float()).add_(z)
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
    candidates = [*_kernels(mixture, z[kept[:_CENTRES]], grain, recipe), *nets]
    logs = torch.stack([member.log_density(rows, recipe.noise.sigma_min) for member in candidates], dim=1)
    everything = order[torch.randperm(len(order), generator=generator)[:_CENTRES]]
    final = [*_kernels(mixture, z[everything], grain, recipe), *nets]
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
    """Time what a row's log-density by the net will cost: an untrained one costs the same."""
    net = _net_density(build_denoiser(z.shape[1], recipe.state, recipe.noise, mixture), recipe)
    began = time.monotonic()
    net.log_density(z[:_TIMED_ROWS].double(), recipe.noise.sigma_min)
    return (time.monotonic() - began) / _TIMED_ROWS


def _net_density(denoiser: ScoreModule, recipe: TableRecipe) -> NetDensity:
    noise, sampler = recipe.noise, SAMPLERS[recipe.sampler]
    return NetDensity(denoiser.double().eval(), noise.sigma_min, noise.sigma_max, sampler)


def _kernels(mixture: Mixture, rows: Tensor, grain: Tensor, recipe: TableRecipe) -> list[Member]:
    centres, coarse = rows.double(), grain.double()
    middle = torch.zeros_like(centres[:1])
    return [
        *(Kernels.shaped(mixture, centres, width, coarse) for width in recipe.shaped),
        *(Kernels.round(centres, width, coarse) for width in recipe.round),
        # Where rows are fewer than columns, no covariance can be had and independent columns are the safe guess.
        Kernels.round(middle, 1.0, coarse),
    ]
