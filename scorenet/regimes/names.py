"""Names of regimes in plain words, from their volatility and their trend."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["regime_names"]

Array = NDArray[np.float64]

_APART = (
    0.5  # standard deviations between the calmest and the most turbulent, from which the levels differ at all
)
_TREND = 0.35  # standard deviations of the trend from 0


def regime_names(modes: Array, training: Array, *, trend: bool) -> tuple[str, ...]:
    """Name modes [K, 2] of volatility (log) and trend, by each other and by the training states [N, 2].

    Calm is the lowest third of the range between the calmest and the most turbulent regime, turbulent the highest; if
    they hardly differ, all are normal. An uptrend or a downtrend is more than 0.35 standard deviations of the training
    states away from no move. Without `trend`, the flow did not see the trend, and no name claims one. Modes that
    would have the same name are numbered.
    """
    if len(modes) == 1:
        return ("one regime",)
    level = modes[:, 0]
    reach = float(level.max() - level.min())
    apart = reach > _APART * float(training[:, 0].std())
    place = (level - level.min()) / reach if apart else np.full(len(level), 0.5)
    away = modes[:, 1] / (float(training[:, 1].std()) or 1.0) if trend else np.zeros(len(level))
    names = [f"{_level(float(at))} {_move(float(move))}" for at, move in zip(place, away, strict=True)]
    return tuple(
        name if names.count(name) == 1 else f"{name} {names[: index + 1].count(name)}"
        for index, name in enumerate(names)
    )


def _level(place: float) -> str:
    return "calm" if place < 1 / 3 else "turbulent" if place > 2 / 3 else "normal"


def _move(away: float) -> str:
    return "uptrend" if away > _TREND else "downtrend" if away < -_TREND else "market"
