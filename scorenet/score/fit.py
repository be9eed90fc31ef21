"""Fit the state density p(x): a Gaussian mixture, then a network that learns what the mixture gets wrong."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..config import NoiseConfig, StateConfig
from .denoiser import Denoiser
from .mixture import Mixture
from .mixture_fit import fit_mixture
from .networks import NoiseConditionalMlp
from .objectives import FrozenNoise, MultiScaleDsm
from .training import Recipe, TrainingLog, fit, pick_device, seeded

__all__ = ["build_denoiser", "fit_base", "fit_denoiser"]


def build_denoiser(dim: int, config: StateConfig, base: Mixture | None) -> Denoiser:
    """Create an untrained denoiser of the sizes of `config` for `dim` features: it is that of `base`."""
    return Denoiser(NoiseConditionalMlp(dim, config.hidden, config.blocks), base)


def fit_base(
    x: Tensor,
    held_out: Tensor,
    config: StateConfig,
    noise: NoiseConfig,
    *,
    seed: int,
    seconds: float | None = None,
) -> Mixture | None:
    """Fit the mixture that the network corrects to scaled rows x [N, d]; None where `config` wants none.

    `seconds` of wall-clock time limit the search for the number of components.
    """
    if config.max_components == 0:
        return None
    sizes = [2**k for k in range(config.max_components.bit_length())]
    return fit_mixture(x, held_out, components=sizes, sigma=noise.sigma_min, seed=seed, seconds=seconds)


def fit_denoiser(
    x: Tensor,
    held_out: Tensor,
    config: StateConfig,
    noise: NoiseConfig,
    *,
    base: Mixture | None,
    seed: int,
    device: str = "auto",
    max_seconds: float | None = None,
    progress: bool = True,
) -> tuple[Denoiser, TrainingLog]:
    """Train the correction of `base` on scaled rows x [N, d]; `held_out` [M, d] selects. Float32, returned on the CPU.

    A gain over the bare base inside its own standard error is chance, and the base stays alone (`best_step` 0).
    The noise is drawn on the CPU on any device, so that a GPU differs by rounding only.

    Raises:
        Diverged: when a loss becomes non-finite.
        ConfigError: for a device that is not there.
    """
    target = pick_device(device)
    with seeded(seed) as generator:
        denoiser = build_denoiser(x.shape[1], config, base).to(target)
    rows, held = x.float().to(target), held_out.float().to(target)
    objective = MultiScaleDsm(noise)
    batch = min(config.batch_size, len(rows))

    def loss() -> Tensor:
        pick = torch.randint(len(rows), (batch,), generator=generator)
        return objective(denoiser, rows[pick.to(target)], generator)

    recipe = Recipe(
        steps=config.steps,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        max_seconds=max_seconds,
        checks=10,  # each costs as much as a dozen steps
    )
    validate = FrozenNoise(held, noise, seed=seed)
    log = fit(denoiser, loss, validate, recipe, name="state density", progress=progress)  # type: ignore[arg-type]
    if log.best_step and base is not None:
        bare = build_denoiser(x.shape[1], config, base).to(target)
        gain = validate.by_row(bare) - validate.by_row(denoiser)
        if float(gain.mean()) <= float(gain.std(correction=0)) / math.sqrt(len(gain)):
            denoiser, log.best_step = bare, 0
    return denoiser.cpu(), log
