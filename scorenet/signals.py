"""What `signal` may name: a score of each bar to trade by, and its doubt; own ones are added here."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from .base.registry import Registry
from .base.sources import remember_source
from .errors import ConfigError

if TYPE_CHECKING:
    from .model import ScoreModel

__all__ = ["SIGNALS", "Signal", "forward", "register_signal", "signal_scores", "state"]

Array = NDArray[np.float64]

_DECIMALS = 10  # batched and single-row matrix products differ in the 16th digit; no decision may hang on it


class Signal(Protocol):
    """Whatever gives each state a number whose sign says long or short."""

    def __call__(self, model: ScoreModel, x: Array, z: Tensor, /) -> tuple[Array, Array]:
        """Return the score [N] and its standard deviation [N] of raw states x [N, F], scaled z [N, F], row by row.

        |score| is ranked among those of the calibration span: that rank is the confidence, and it makes any unit good.
        """
        ...


_Signal = TypeVar("_Signal", bound=Signal)

SIGNALS: Registry[Signal] = Registry("signal", ConfigError)


def register_signal(name: str) -> Callable[[_Signal], _Signal]:
    """Return a decorator that enters a function (model, x, z) -> (score, score_std) as a signal.

    A model carries a calibration table for each of its signals, so it is trained with `signals = ["name"]`.

    Raises:
        ValueError: the name is taken, or is no identifier.
    """
    enter = SIGNALS.register(name)

    def decorate(signal: _Signal) -> _Signal:
        enter(signal)
        remember_source("signal", name, signal)
        return signal

    return decorate


def signal_scores(name: str, model: ScoreModel, x: Array, z: Tensor) -> tuple[Array, Array]:
    """Return the score [N] and its standard deviation [N] of a signal, rounded to ten decimals.

    Raises:
        ConfigError: for an unknown signal, or one that returns something else.
    """
    parts = SIGNALS[name](model, x, z)
    score, spread = (np.asarray(part, dtype=np.float64) for part in parts)
    if score.shape != (len(x),) or spread.shape != (len(x),):
        raise ConfigError(
            f"signal {name!r}: expected score and score_std of shape [{len(x)}], "
            f"found {list(score.shape)} and {list(spread.shape)}"
        )
    return np.round(score, _DECIMALS), np.round(spread, _DECIMALS)


@register_signal("forward")
def forward(model: ScoreModel, x: Array, z: Tensor) -> tuple[Array, Array]:
    """Return the score of the coming return at 0, and its spread over the nets."""
    scores = model.forward_net.scores(z, model.config.forward.signal_sigma).numpy()
    return scores.mean(axis=0), scores.std(axis=0)


@register_signal("state")
def state(model: ScoreModel, x: Array, z: Tensor) -> tuple[Array, Array]:
    """Return the score of the last return, and its spread over noise levels or over the members of an ensemble."""
    return model.return_score(z)
