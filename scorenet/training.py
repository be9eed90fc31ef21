"""One optimisation loop for every net of the package: AdamW, warm-up and cosine, EMA, selection on frozen noise."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from tqdm import tqdm

from scorenet.errors import Diverged

__all__ = ["Recipe", "TrainingLog", "fit", "seeded", "threads"]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How long and how hard to optimise."""

    steps: int
    learning_rate: float
    weight_decay: float
    warm_up: int = 100
    gradient_clip: float = 1.0
    ema: float = 0.999
    checks: int = 20


@dataclass
class TrainingLog:
    """What happened: the held-out loss at each check, and which check was kept."""

    steps: list[int] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)
    training: list[float] = field(default_factory=list)
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

    `validate` must be deterministic (frozen noise), lower is better.

    Raises:
        Diverged: when a loss becomes non-finite; `module` is then of no use and nothing has been written.
    """
    decayed = [p for p in module.parameters() if p.dim() > 1]
    plain = [p for p in module.parameters() if p.dim() <= 1]
    groups = [
        {"params": decayed, "weight_decay": recipe.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(0.9, 0.99))
    warm_up = min(recipe.warm_up, max(recipe.steps // 10, 1))
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step, recipe.steps, warm_up))
    average = copy.deepcopy(module).requires_grad_(False)
    log, best, kept = TrainingLog(), math.inf, copy.deepcopy(module.state_dict())
    every = max(recipe.steps // recipe.checks, 1)
    with tqdm(total=recipe.steps, desc=name, unit="step", disable=not progress, leave=False) as bar:
        for step in range(1, recipe.steps + 1):
            value = loss()
            if not torch.isfinite(value):
                raise Diverged(
                    f"{name}: the loss became {float(value.detach())} at step {step}; "
                    "lower the learning rate, or look for outliers in the bars"
                )
            optimiser.zero_grad(set_to_none=True)
            value.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(module.parameters(), recipe.gradient_clip)
            optimiser.step()
            scheduler.step()
            _average(average, module, min(recipe.ema, (1 + step) / (10 + step)))
            bar.update()
            if step % every == 0 or step == recipe.steps:
                checked = validate(average)
                if not math.isfinite(checked):
                    raise Diverged(f"{name}: the held-out loss became {checked} at step {step}")
                log.steps.append(step)
                log.validation.append(checked)
                log.training.append(float(value.detach()))
                bar.set_postfix(held_out=f"{checked:.4f}")
                if checked < best:
                    # A deep copy: state_dict() alone aliases the live tensors, and "best" would follow the last step.
                    best, log.best_step, kept = checked, step, copy.deepcopy(average.state_dict())
    module.load_state_dict(kept)
    return log


def _rate(step: int, steps: int, warm_up: int) -> float:
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm_up) / max(steps - warm_up, 1))))


@torch.no_grad()
def _average(average: nn.Module, module: nn.Module, keep: float) -> None:
    for slow, fast in zip(average.parameters(), module.parameters(), strict=True):
        slow.lerp_(fast, 1 - keep)
