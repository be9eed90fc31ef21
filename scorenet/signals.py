"""Registry of the setting `signal`: a score per bar and its standard deviation; users can register their own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from .base.registry import Registry
from .base.sources import remember_source
from .errors import ConfigError
from .forward.net import Parts, score_at_zero

if TYPE_CHECKING:
    from .model import ScoreModel

__all__ = ["SIGNALS", "Signal", "check_calibrated", "forward", "register_signal", "signal_scores", "state"]

Array = NDArray[np.float64]

_DECIMALS = (
    10  # batched and single-row matrix products differ in the 16th digit; rounding keeps decisions equal
)


class Signal(Protocol):
    """A function that maps each state to a number; its sign is the direction of the trade."""

    def __call__(self, model: ScoreModel, x: Array, z: Tensor, /) -> tuple[Array, Array]:
        """Return the score [N] and its standard deviation [N] of raw states x [N, F], scaled z [N, F], row by row.

        The confidence is the rank of |score| among the values of the calibration span, so the score may have any
        unit.
        """
        ...


def check_calibrated(signal: str, calibrated: Iterable[str]) -> None:
    """Check that a model has a calibration table for a signal.

    Raises:
        ConfigError: it has none; the message says how to train one.
    """
    known = list(calibrated)
    if signal not in known:
        untrained = signal in SIGNALS
        hint = f"; train the model with --set 'signals=[\"{signal}\"]' to calibrate it" if untrained else ""
        raise ConfigError(f"signal: expected one of {', '.join(known)}; found {signal!r}{hint}")


_Signal = TypeVar("_Signal", bound=Signal)

SIGNALS: Registry[Signal] = Registry("signal", ConfigError)


def register_signal(name: str) -> Callable[[_Signal], _Signal]:
    """Return a decorator that registers a function (model, x, z) -> (score, score_std) as a signal.

    A model needs a calibration table for the signal: train it with `signals = ["name"]`.

    Raises:
        ValueError: the name is taken or is not an identifier.
    """
    enter = SIGNALS.register(name)

    def decorate(signal: _Signal) -> _Signal:
        enter(signal)
        remember_source("signal", name, signal)
        return signal

    return decorate


def signal_scores(
    name: str, model: ScoreModel, x: Array, z: Tensor, mixtures: Parts | None = None
) -> tuple[Array, Array]:
    """Return the score [N] and its standard deviation [N] of a signal, rounded to ten decimals.

    `mixtures` is `model.forward_net(z)`, if it is known: the built-in forward signal then needs no second pass.

    Raises:
        ConfigError: the signal is unknown, or returns arrays of another shape.
    """
    signal = SIGNALS[name]
    known = mixtures if signal is forward else None
    parts = signal(model, x, z) if known is None else _forward_scores(model, known)
    score, spread = (np.asarray(part, dtype=np.float64) for part in parts)
    if score.shape != (len(x),) or spread.shape != (len(x),):
        raise ConfigError(
            f"signal {name!r}: expected score and score_std of shape [{len(x)}], "
            f"found {list(score.shape)} and {list(spread.shape)}"
        )
    return np.round(score, _DECIMALS), np.round(spread, _DECIMALS)


@register_signal("forward")
def forward(model: ScoreModel, x: Array, z: Tensor) -> tuple[Array, Array]:
    """Return the score of the next return at 0, and its standard deviation over the nets, both [N]."""
    return _forward_scores(model, model.forward_net(z))


def _forward_scores(model: ScoreModel, mixtures: Parts) -> tuple[Array, Array]:
    scores = score_at_zero(mixtures, model.config.forward.signal_sigma).numpy()
    return scores.mean(axis=0), scores.std(axis=0)


@register_signal("state")
def state(model: ScoreModel, x: Array, z: Tensor) -> tuple[Array, Array]:
    """Return the score of the last return and its spread over noise levels or ensemble members, both [N]."""
    return model.return_score(z)
