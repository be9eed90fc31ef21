"""One optimisation loop for all nets: AdamW, warm-up and cosine schedule, EMA, model selection on frozen noise."""

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

from ..base.terminal.progress import progress_bar
from ..errors import ConfigError, Diverged
from .adamw import AdamW
from .side_by_side import keep_going

__all__ = [
    "Recipe",
    "TrainingLog",
    "fit",
    "fit_steps",
    "limit_worker_threads",
    "pick_device",
    "seeded",
    "threads",
]

# A net that starts as its base may be worse at its first checks, however much it would learn.
_PATIENT_UNTIL = 1 / 3


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Length and step sizes of an optimisation.

    Training ends after `steps`, or after `max_seconds` of wall-clock time if that is earlier. The learning rate
    follows the larger of the two fractions done, so it is near zero at the end in both cases. With `patience`, training
    ends early at the check that is the `patience`-th in a row without a lower held-out loss, not counting those of the
    first third; 0 never ends it early.
    """

    steps: int
    learning_rate: float
    weight_decay: float
    warm_up: int = 100
    gradient_clip: float = 1.0
    ema: float = 0.999
    checks: int = 20
    max_seconds: float | None = None
    patience: int = 0


@dataclass
class TrainingLog:
    """The losses at each check (step 0 is the untrained net), and the step whose weights were kept.

    `kept_steps` are those of all optimisations behind a net, one per ensemble member or part of the net.
    """

    steps: list[int] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)
    training: list[float | None] = field(default_factory=list)
    best_step: int = 0
    kept_steps: list[int] = field(default_factory=list)

    def to_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return dict(self.__dict__)


@contextmanager
def seeded(seed: int) -> Iterator[torch.Generator]:
    """Seed torch inside the block and restore its state afterwards; yield a separate generator for data."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield torch.Generator().manual_seed(seed + 1)


@contextmanager
def threads(n: int) -> Iterator[None]:
    """Set torch to n threads inside the block; a single bar is ten times slower on two threads than on one."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def limit_worker_threads() -> None:
    """Limit torch to one thread if this is a worker process.

    A process forked after torch has used several threads would wait forever for threads that it does not have.
    Parallel workers also gain nothing from more threads.
    """
    if multiprocessing.parent_process() is not None:
        torch.set_num_threads(1)


def pick_device(device: str) -> torch.device:
    """Return the device of a name; "auto" is the GPU if there is one.

    Raises:
        ConfigError: torch does not know the device, or the machine does not have it.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise ConfigError(f"device: expected auto, cpu or cuda, found {device!r}") from error
    if found.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"device: {device!r} needs a GPU, and torch finds no GPU; use auto or cpu")
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

    `validate` must be deterministic (frozen noise); lower is better. The untrained net is a candidate too, so a net
    that learns nothing stays as it was.

    Raises:
        Diverged: a loss became non-finite; `module` is then unusable, and nothing has been written.
    """
    descent = _Descent(module, recipe, name)
    started, checked = time.monotonic(), 0
    log = TrainingLog()
    keeper = _Keeper(descent.average, validate, log, name)
    keeper.check(0, None)
    with progress_bar(total=recipe.steps, name=name, unit="step", shown=progress) as bar:
        for step in range(1, recipe.steps + 1):
            done = _share_done(step, recipe, started)
            value = descent.step(loss, step, done)
            bar.update()
            if int(done * recipe.checks) > checked or done >= 1.0:
                checked = int(done * recipe.checks)
                bar.set_postfix(held_out=f"{keeper.check(step, value):.4f}")
                if done < _PATIENT_UNTIL:
                    keeper.in_vain = 0
            if done >= 1.0 or 0 < recipe.patience <= keeper.in_vain:
                break
    module.load_state_dict(keeper.best)
    log.kept_steps = [log.best_step]
    return log


def fit_steps(
    module: nn.Module,
    loss: Callable[[], Tensor],
    steps: int,
    recipe: Recipe,
    *,
    name: str,
    progress: bool = True,
) -> None:
    """Follow `recipe` for its first `steps` steps, then load the averaged weights; no held-out rows are needed.

    With the step that `fit` kept, this repeats the selected training on other rows. 0 leaves the net untrained.

    Raises:
        Diverged: a loss became non-finite; `module` is then unusable.
    """
    descent = _Descent(module, recipe, name)
    for step in progress_bar(range(1, steps + 1), name=name, unit="step", shown=progress):
        descent.step(loss, step, step / recipe.steps)
    module.load_state_dict(descent.average.state_dict())


class _Descent:
    """AdamW with a schedule, and the moving average of the weights of a module."""

    def __init__(self, module: nn.Module, recipe: Recipe, name: str) -> None:
        self._recipe, self._name = recipe, name
        self._parameters: list[Tensor] = [p for p in module.parameters() if p.requires_grad]
        self._optimiser = AdamW(self._parameters, recipe.weight_decay)
        self.average = copy.deepcopy(module).requires_grad_(False).eval()  # held-out losses without dropout
        self._slow: list[Tensor] = [
            a for a, p in zip(self.average.parameters(), module.parameters(), strict=True) if p.requires_grad
        ]
        self._warm_up = min(recipe.warm_up, max(recipe.steps // 10, 1))

    def step(self, loss: Callable[[], Tensor], number: int, done: float) -> float:
        """Do one step, the first is 1, with the share `done` of the schedule; return the loss."""
        keep_going()
        recipe = self._recipe
        value = loss()
        if not torch.isfinite(value):
            raise Diverged(
                f"{self._name}: the loss became {float(value.detach())} at step {number}; "
                "lower the learning rate, or look for outliers in the bars"
            )
        self._optimiser.forget()
        value.backward()  # type: ignore[no-untyped-call]
        rate = recipe.learning_rate * _rate(number, self._warm_up, done)
        self._optimiser.step(rate, recipe.gradient_clip)
        with torch.no_grad():
            decay = min(recipe.ema, (1 + number) / (10 + number))
            torch._foreach_lerp_(self._slow, self._parameters, 1 - decay)
        return float(value.detach())


class _Keeper:
    """Keep the weights with the best validation loss."""

    def __init__(
        self, average: nn.Module, validate: Callable[[nn.Module], float], log: TrainingLog, name: str
    ) -> None:
        self._average, self._validate, self._log, self._name = average, validate, log, name
        self._lowest = math.inf
        self.in_vain = 0  # checks since the lowest loss
        self.best: dict[str, Any] = {}

    def check(self, step: int, training: float | None) -> float:
        value = self._validate(self._average)
        if not math.isfinite(value):
            raise Diverged(f"{self._name}: the held-out loss became {value} at step {step}")
        self._log.steps.append(step)
        self._log.training.append(training)
        self._log.validation.append(value)
        self.in_vain += 1
        if value < self._lowest:
            self._lowest, self._log.best_step, self.in_vain = value, step, 0
            # A deep copy: state_dict() shares the tensors, so the "best" weights would change with every step.
            self.best = copy.deepcopy(self._average.state_dict())
        return value


def _share_done(step: int, recipe: Recipe, started: float) -> float:
    steps = step / recipe.steps
    if recipe.max_seconds is None:
        return steps
    return min(max(steps, (time.monotonic() - started) / recipe.max_seconds), 1.0)


def _rate(step: int, warm_up: int, done: float) -> float:
    return min(step / warm_up, 1.0) * 0.5 * (1 + math.cos(math.pi * done))
