"""Names of regimes in plain words, from their volatility and their trend."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["regime_names"]

Array = NDArray[np.float64]

_CALM, _TURBULENT = 1 / 3, 2 / 3  # quantiles of the training states' volatility
_TREND = 0.35  # standard deviations of the trend from 0


def regime_names(modes: Array, training: Array, *, trend: bool) -> tuple[str, ...]:
    """Name modes [K, 2] of volatility (log) and trend by their place among the training states [N, 2].

    Calm, normal and turbulent are the thirds of the training volatility; an uptrend or a downtrend is more than 0.35
    standard deviations away from no move. Without `trend`, the flow did not see the trend, and no name claims one:
    the regimes are a calm, a normal or a turbulent market. Modes that would have the same name are numbered.
    """
    if len(modes) == 1:
        return ("one regime",)
    low, high = np.quantile(training[:, 0], [_CALM, _TURBULENT])
    spread = float(training[:, 1].std()) or 1.0
    names = []
    for volatility, direction in modes:
        level = "calm" if volatility < low else "turbulent" if volatility > high else "normal"
        away = direction / spread if trend else 0.0
        move = "uptrend" if away > _TREND else "downtrend" if away < -_TREND else "market"
        names.append(f"{level} {move}")
    return tuple(
        name if names.count(name) == 1 else f"{name} {names[: index + 1].count(name)}"
        for index, name in enumerate(names)
    )
