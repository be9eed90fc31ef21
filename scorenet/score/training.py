"""One optimisation loop for every net of the package: AdamW, warm-up and cosine, EMA, selection on frozen noise."""

from __future__ import annotations

import copy
import math
import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from ..errors import ConfigError, Diverged

__all__ = ["Recipe", "TrainingLog", "calm_worker", "fit", "pick_device", "seeded", "threads"]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How long and how hard to optimise.

    Training ends after `steps`, or after `max_seconds` of wall-clock time if that comes first; the learning rate
    follows whichever share is further along, so that it is near zero at the end either way.
    """

    steps: int
    learning_rate: float
    weight_decay: float
    warm_up: int = 100
    gradient_clip: float = 1.0
    ema: float = 0.999
    checks: int = 20
    max_seconds: float | None = None


@dataclass
class TrainingLog:
    """What happened: the held-out loss at each check (step 0 is the net before training), and which check was kept."""

    steps: list[int] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)
    training: list[float | None] = field(default_factory=list)
    best_step: int = 0

    def to_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return dict(self.__dict__)


@contextmanager
def seeded(seed: int) -> Iterator[torch.Generator]:
    """Seed parameter initialisation inside the block, leave the caller's generator untouched, yield one for data."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield torch.Generator().manual_seed(seed + 1)


@contextmanager
def threads(n: int) -> Iterator[None]:
    """Limit torch to n threads inside the block; one bar is ten times slower on two threads than on one."""
    before = torch.get_num_threads()
    torch.set_num_threads(min(n, before))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def calm_worker() -> None:
    """Put torch on one thread in a worker process.

    A worker that is forked after torch has run on several threads waits for ever for threads that it does not have, and
    several workers have no use for more than one each.
    """
    if multiprocessing.parent_process() is not None:
        torch.set_num_threads(1)


def pick_device(device: str) -> torch.device:
    """Return the device a name stands for; "auto" is the GPU where there is one.

    Raises:
        ConfigError: for a device that torch does not know or that is not there.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise ConfigError(f"device: expected auto, cpu or cuda, found {device!r}") from error
    if found.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"device: {device!r} was asked for, and torch sees no GPU; use auto or cpu")
    return found


def fit(
    module: nn.Module,
    loss: Callable[[], Tensor],
    validate: Callable[[nn.Module], float],
    recipe: Recipe,
    *,
    name: str,
    progress: bool = True,
) -> TrainingLog:
    """Minimise `loss()` over the parameters of `module`, then load the averaged weights that validated best.

    `validate` must be deterministic (frozen noise), lower is better. The net before its first step is a candidate
    too: where nothing can be learned, nothing is.

    Raises:
        Diverged: when a loss becomes non-finite; `module` is then of no use and nothing has been written.
    """
    parameters: list[Tensor] = [p for p in module.parameters() if p.requires_grad]
    optimiser = _optimiser(parameters, recipe)
    average = copy.deepcopy(module).requires_grad_(False).eval()  # held-out losses without dropout
    slow: list[Tensor] = [
        a for a, p in zip(average.parameters(), module.parameters(), strict=True) if p.requires_grad
    ]
    warm_up = min(recipe.warm_up, max(recipe.steps // 10, 1))
    started, checked = time.monotonic(), 0
    log = TrainingLog()
    keeper = _Keeper(average, validate, log, name)
    keeper.check(0, None)
    with tqdm(total=recipe.steps, desc=name, unit="step", disable=not progress, leave=False) as bar:
        for step in range(1, recipe.steps + 1):
            done = _share_done(step, recipe, started)
            for group in optimiser.param_groups:
                group["lr"] = recipe.learning_rate * _rate(step, warm_up, done)
            value = loss()
            if not torch.isfinite(value):
                raise Diverged(
                    f"{name}: the loss became {float(value.detach())} at step {step}; "
                    "lower the learning rate, or look for outliers in the bars"
                )
            optimiser.zero_grad(set_to_none=True)
            value.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(parameters, recipe.gradient_clip)
            optimiser.step()
            with torch.no_grad():
                torch._foreach_lerp_(slow, parameters, 1 - min(recipe.ema, (1 + step) / (10 + step)))
            bar.update()
            if int(done * recipe.checks) > checked or done >= 1.0:
                checked = int(done * recipe.checks)
                bar.set_postfix(held_out=f"{keeper.check(step, float(value.detach())):.4f}")
            if done >= 1.0:
                break
    module.load_state_dict(keeper.best)
    return log


class _Keeper:
    """Hold the weights that validated best."""

    def __init__(
        self, average: nn.Module, validate: Callable[[nn.Module], float], log: TrainingLog, name: str
    ) -> None:
        self._average, self._validate, self._log, self._name = average, validate, log, name
        self._lowest = math.inf
        self.best: dict[str, Any] = {}

    def check(self, step: int, training: float | None) -> float:
        value = self._validate(self._average)
        if not math.isfinite(value):
            raise Diverged(f"{self._name}: the held-out loss became {value} at step {step}")
        self._log.steps.append(step)
        self._log.training.append(training)
        self._log.validation.append(value)
        if value < self._lowest:
            self._lowest, self._log.best_step = value, step
            # A deep copy: state_dict() alone aliases the live tensors, and "best" would follow the last step.
            self.best = copy.deepcopy(self._average.state_dict())
        return value


def _optimiser(parameters: list[Tensor], recipe: Recipe) -> torch.optim.AdamW:
    groups = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]
    # One kernel for all parameters: a quarter of the time of a loop over them.
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(0.9, 0.99), fused=True)


def _share_done(step: int, recipe: Recipe, started: float) -> float:
    steps = step / recipe.steps
    if recipe.max_seconds is None:
        return steps
    return min(max(steps, (time.monotonic() - started) / recipe.max_seconds), 1.0)


def _rate(step: int, warm_up: int, done: float) -> float:
    return min(step / warm_up, 1.0) * 0.5 * (1 + math.cos(math.pi * done))
