"""Fit the state density p(x): a Gaussian mixture, then a network that corrects the mixture."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..config import NoiseConfig, StateConfig
from ..errors import ConfigError
from .mixture import Mixture
from .mixture_fit import fit_mixture, refit_mixture
from .networks.ensemble import Ensemble
from .objectives.batch import NoisyBatch
from .objectives.denoising import NoisyScore
from .objectives.frozen_noise import FrozenNoise
from .registry import NETWORKS, OBJECTIVES, check_pair
from .score_module import ScoreModule
from .training import Recipe, TrainingLog, fit, fit_steps, pick_device, seeded
from .warm import copy_weights

__all__ = ["build_denoiser", "fit_base", "fit_denoiser", "refit_base", "refit_denoiser"]

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


def refit_base(x: Tensor, chosen: Mixture | None, *, seed: int) -> Mixture | None:
    """Fit a mixture with as many components as the chosen one to scaled rows x [N, d]; None stays None."""
    return None if chosen is None else refit_mixture(x, chosen, seed=seed)


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
    start: ScoreModule | None = None,
    progress: bool = True,
) -> tuple[ScoreModule, TrainingLog]:
    """Train the correction of `base` on scaled rows x [N, d]; `held_out` [M, d] selects. Float32, on the CPU.

    If the gain over the base alone is within one standard error, the untrained network is returned (`best_step` 0).
    The noise is drawn on the CPU for every device, so results on a GPU differ by rounding only. Each member of an
    ensemble has its own seed; the log is that of the first member, its `kept_steps` those of all members. `start` gives
    the first weights, see `copy_weights`.

    Raises:
        Diverged: a loss became non-finite.
        ConfigError: the device is missing, the network or the objective is unknown, or they are not compatible.
    """
    share = None if max_seconds is None else max_seconds / config.members
    trained = [
        _fit_member(
            _Task(x, config, noise, base, seed + _MEMBER_SEEDS * k, device, own),
            held_out,
            base,
            share,
            progress,
        )
        for k, own in enumerate(_starts(start, config.members))
    ]
    log = trained[0][1]
    log.kept_steps = [own.best_step for _, own in trained]
    return _joined([member for member, _ in trained]), log


def refit_denoiser(
    x: Tensor,
    config: StateConfig,
    noise: NoiseConfig,
    *,
    base: Mixture | None,
    seed: int,
    steps: Sequence[int],
    device: str = "auto",
    start: ScoreModule | None = None,
    progress: bool = True,
) -> ScoreModule:
    """Train the correction of `base` on scaled rows x [N, d] for the steps that were kept, one number per member.

    `start` gives the first weights, see `copy_weights`.

    Raises:
        Diverged: a loss became non-finite.
        ConfigError: the device is missing, the network or the objective is unknown, or they are not compatible.
    """
    members = []
    for k, (count, own) in enumerate(zip(steps, _starts(start, len(steps)), strict=True)):
        task = _Task(x, config, noise, base, seed + _MEMBER_SEEDS * k, device, own)
        with seeded(task.seed):
            fit_steps(
                task.denoiser, task.loss, count, task.recipe(), name="state density, refit", progress=progress
            )
        members.append(task.denoiser.eval().cpu())
    return _joined(members)


def _joined(members: Sequence[ScoreModule]) -> ScoreModule:
    first, *others = members
    return Ensemble(members) if others else first


def _starts(start: ScoreModule | None, members: int) -> list[ScoreModule | None]:
    """Return the network that each member's training begins with."""
    if start is None:
        return [None] * members
    found: list[ScoreModule | None] = [start]
    if isinstance(start, Ensemble):
        found = list(start.members)  # type: ignore[arg-type]
    if len(found) != members:
        raise ConfigError(
            f"warm start: expected a model with state.members {members}, found {len(found)}; use the settings of that "
            "model, or train without a warm start"
        )
    return found


def _build_member(dim: int, config: StateConfig, noise: NoiseConfig, base: Mixture | None) -> ScoreModule:
    member = NETWORKS[config.network](dim, config, noise, base)
    check_pair(config, member)
    return member


def _fit_member(
    task: _Task, held_out: Tensor, base: Mixture | None, max_seconds: float | None, progress: bool
) -> tuple[ScoreModule, TrainingLog]:
    denoiser, held = task.denoiser, held_out.float().to(task.target)
    validate, recipe = _Judge(FrozenNoise(held, task.noise, seed=task.seed)), task.recipe(max_seconds)
    with seeded(task.seed):  # dropout draws from torch's own generator
        log = fit(denoiser, task.loss, validate, recipe, name="state density", progress=progress)  # type: ignore[arg-type]
    denoiser.eval()
    if (log.best_step or task.warm) and base is not None:
        with seeded(task.seed):
            bare = _build_member(held.shape[1], task.config, task.noise, base).to(task.target).eval()
        untrained = validate.frozen.by_row(bare) if task.warm else validate.first
        gain = untrained - validate.best
        chance = float(gain.mean()) <= float(gain.std(correction=0)) / math.sqrt(len(gain))
        if chance and _stands_on_its_base(bare, held):
            denoiser, log.best_step = bare, 0
    return denoiser.cpu(), log


class _Judge:
    """The loss of model selection; it keeps the losses by row, [N], of the first check and of the best."""

    first: Tensor
    best: Tensor

    def __init__(self, frozen: FrozenNoise) -> None:
        self.frozen, self._lowest, self._begun = frozen, math.inf, False

    def __call__(self, module: NoisyScore) -> float:
        value, by_row = self.frozen.measure(module)
        if not self._begun:
            self.first, self.best, self._begun = by_row, by_row, True
        if value < self._lowest:
            self.best, self._lowest = by_row, value
        return value


class _Task:
    """The network, the rows and the loss of one training."""

    def __init__(
        self,
        x: Tensor,
        config: StateConfig,
        noise: NoiseConfig,
        base: Mixture | None,
        seed: int,
        device: str,
        start: ScoreModule | None = None,
    ) -> None:
        self.config, self.noise, self.target, self.seed = config, noise, pick_device(device), seed
        self.warm = start is not None
        with seeded(seed) as self._generator:
            self.denoiser = _build_member(x.shape[1], config, noise, base).to(self.target)
        copy_weights(self.denoiser, start, "state net")
        self._rows = x.float().to(self.target)
        self._objective = OBJECTIVES[config.objective]

    def loss(self) -> Tensor:
        rows = self._rows
        pick = torch.randint(len(rows), (min(self.config.batch_size, len(rows)),), generator=self._generator)
        batch = NoisyBatch.draw(rows.index_select(0, pick.to(self.target)), self.noise, self._generator)
        return self._objective(self.denoiser, batch)

    def recipe(self, max_seconds: float | None = None) -> Recipe:
        return Recipe(
            steps=self.config.steps,
            learning_rate=self.config.learning_rate,
            weight_decay=self.config.weight_decay,
            max_seconds=max_seconds,
            patience=self.config.patience,
            checks=10,  # one check takes as long as a dozen steps
        )


@torch.no_grad()
def _stands_on_its_base(bare: ScoreModule, rows: Tensor) -> bool:
    """Return whether an untrained network's correction is zero; a user's network may start with another one."""
    return not bool(bare.correction(rows, 1.0).any())
