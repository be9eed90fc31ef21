"""Names of regimes in plain words, from their volatility and their trend."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["regime_names"]

Array = NDArray[np.float64]

_AWAY = 0.35  # standard deviations of the training states that make a level or a move worth a word


def regime_names(modes: Array, training: Array, *, trend: bool) -> tuple[str, ...]:
    """Name modes [K, 2] of volatility (log) and trend, by each other and by the training states [N, 2].

    Calm and turbulent are more than 0.35 standard deviations of the training states away from the mean level of the
    regimes; an uptrend or a downtrend is as far from no move. Without `trend`, the flow did not see the trend, and no
    name claims one. Modes that would have the same name are numbered.
    """
    if len(modes) == 1:
        return ("one regime",)
    spread = np.maximum(training.std(axis=0), 1e-12)
    place = (modes[:, 0] - modes[:, 0].mean()) / spread[0]
    away = modes[:, 1] / spread[1] if trend else np.zeros(len(modes))
    names = [f"{_level(float(at))} {_move(float(move))}" for at, move in zip(place, away, strict=True)]
    return tuple(
        name if names.count(name) == 1 else f"{name} {names[: index + 1].count(name)}"
        for index, name in enumerate(names)
    )


def _level(place: float) -> str:
    return "calm" if place < -_AWAY else "turbulent" if place > _AWAY else "normal"


def _move(away: float) -> str:
    return "uptrend" if away > _AWAY else "downtrend" if away < -_AWAY else "market"
