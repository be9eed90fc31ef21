"""Fit the state density p(x): a Gaussian mixture, then a network that corrects the mixture."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..config import NoiseConfig, StateConfig
from .mixture import Mixture
from .mixture_fit import fit_mixture
from .networks.ensemble import Ensemble
from .objectives.batch import NoisyBatch
from .objectives.frozen_noise import FrozenNoise
from .registry import NETWORKS, OBJECTIVES, check_pair
from .score_module import ScoreModule
from .training import Recipe, TrainingLog, fit, pick_device, seeded

__all__ = ["build_denoiser", "fit_base", "fit_denoiser"]

_MEMBER_SEEDS = 101  # difference between the seeds of two members of an ensemble


def build_denoiser(dim: int, config: StateConfig, noise: NoiseConfig, base: Mixture | None) -> ScoreModule:
    """Create the untrained network that `config` describes, for `dim` features.

    Raises:
        ConfigError: the network or the objective is unknown, or they are not compatible.
    """
    return _joined([_build_member(dim, config, noise, base) for _ in range(config.members)])


def fit_base(
    x: Tensor,
    held_out: Tensor,
    config: StateConfig,
    noise: NoiseConfig,
    *,
    seed: int,
    seconds: float | None = None,
) -> Mixture | None:
    """Fit the mixture that the network will correct to scaled rows x [N, d]; None if `config` asks for no mixture.

    `seconds` limits the wall-clock time of the search for the number of components.
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
) -> tuple[ScoreModule, TrainingLog]:
    """Train the correction of `base` on scaled rows x [N, d]; `held_out` [M, d] selects. Float32, on the CPU.

    If the gain over the base alone is within one standard error, the untrained network is returned (`best_step` 0).
    The noise is drawn on the CPU for every device, so results on a GPU differ by rounding only. Each member of an
    ensemble has its own seed; the log is that of the first member.

    Raises:
        Diverged: a loss became non-finite.
        ConfigError: the device is missing, the network or the objective is unknown, or they are not compatible.
    """
    share = None if max_seconds is None else max_seconds / config.members
    trained = [
        _fit_member(x, held_out, config, noise, base, seed + _MEMBER_SEEDS * k, device, share, progress)
        for k in range(config.members)
    ]
    return _joined([member for member, _ in trained]), trained[0][1]


def _joined(members: Sequence[ScoreModule]) -> ScoreModule:
    first, *others = members
    return Ensemble(members) if others else first


def _build_member(dim: int, config: StateConfig, noise: NoiseConfig, base: Mixture | None) -> ScoreModule:
    member = NETWORKS[config.network](dim, config, noise, base)
    check_pair(config, member)
    return member


def _fit_member(
    x: Tensor,
    held_out: Tensor,
    config: StateConfig,
    noise: NoiseConfig,
    base: Mixture | None,
    seed: int,
    device: str,
    max_seconds: float | None,
    progress: bool,
) -> tuple[ScoreModule, TrainingLog]:
    target = pick_device(device)
    with seeded(seed) as generator:
        denoiser = _build_member(x.shape[1], config, noise, base).to(target)
    rows, held = x.float().to(target), held_out.float().to(target)
    objective = OBJECTIVES[config.objective]
    batch = min(config.batch_size, len(rows))

    def loss() -> Tensor:
        pick = torch.randint(len(rows), (batch,), generator=generator)
        return objective(denoiser, NoisyBatch.draw(rows[pick.to(target)], noise, generator))

    recipe = Recipe(
        steps=config.steps,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        max_seconds=max_seconds,
        checks=10,  # one check takes as long as a dozen steps
    )
    validate = FrozenNoise(held, noise, seed=seed)
    log = fit(denoiser, loss, validate, recipe, name="state density", progress=progress)  # type: ignore[arg-type]
    denoiser.eval()
    if log.best_step and base is not None:
        bare = _build_member(x.shape[1], config, noise, base).to(target).eval()
        gain = validate.by_row(bare) - validate.by_row(denoiser)
        chance = float(gain.mean()) <= float(gain.std(correction=0)) / math.sqrt(len(gain))
        if chance and _stands_on_its_base(bare, held):
            denoiser, log.best_step = bare, 0
    return denoiser.cpu(), log


@torch.no_grad()
def _stands_on_its_base(bare: ScoreModule, rows: Tensor) -> bool:
    """Return whether an untrained network's correction is zero; a user's network may start with another one."""
    return not bool(bare.correction(rows, 1.0).any())
