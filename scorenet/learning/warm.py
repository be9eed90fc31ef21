"""Warm start: train a new model from the weights of an earlier one, in a part of the steps.

The rows that select must be new to the earlier model: where its training rows reach into them, a weight that remembers
them would be selected for it.
"""

from __future__ import annotations

from dataclasses import replace

from ..base.times import iso
from ..config import ModelConfig
from ..errors import ConfigError
from ..model import ScoreModel

__all__ = ["check_start", "shortened"]

# Share of the steps and of the learning rates of a training from random weights; measured in benchmarks/warm_start.py.
_STEPS, _RATE = 0.4, 0.3


def check_start(start: ScoreModel, features: tuple[str, ...], config: ModelConfig, selects_from: int) -> None:
    """Check that a model can be the start of another whose rows from `selects_from` (UTC ms) on select.

    Raises:
        ConfigError: it has other features or horizons, or was trained on rows from `selects_from` on.
    """
    theirs, ours = start.config.forward, config.forward
    for name, here, there in (
        ("features", features, start.features.names),
        ("horizons", ours.all_horizons, theirs.all_horizons),
    ):
        if tuple(here) != tuple(there):
            raise ConfigError(
                f"warm start: expected a model with the {name} {list(here)}, found {list(there)}; "
                "train without a warm start, or with the settings of that model"
            )
    until = int(start.info["training_span"][1])
    if until > selects_from:
        raise ConfigError(
            f"warm start: that model was trained on bars until {iso(until)}, and those from {iso(selects_from)} on "
            "select the new one: it would be chosen for what it remembers. Move the span on, or train without it"
        )


def shortened(config: ModelConfig) -> ModelConfig:
    """Return the settings of a training that starts warm: fewer steps at lower learning rates."""

    def fewer(steps: int) -> int:
        return max(round(steps * _STEPS), 1)

    state, density, forward = config.state, config.density, config.forward
    return replace(
        config,
        state=replace(state, steps=fewer(state.steps), learning_rate=state.learning_rate * _RATE),
        density=replace(density, steps=fewer(density.steps), learning_rate=density.learning_rate * _RATE),
        forward=replace(
            forward,
            steps=fewer(forward.steps),
            learning_rate=forward.learning_rate * _RATE,
            scale_steps=fewer(forward.scale_steps),
            scale_learning_rate=forward.scale_learning_rate * _RATE,
        ),
    )
