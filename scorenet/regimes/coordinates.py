"""The coordinates of a regime: the level of volatility and the direction of the price, from a state's features.

A regime is a property of the market that lasts. Most features of a state (the last return, the volume of the last
hour) do not last, and in their full space the density of market states has one mode. So the flow is followed in the
coordinates that traders name regimes by.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import FeatureMismatch

__all__ = ["COORDINATES", "coordinates"]

Array = NDArray[np.float64]

COORDINATES = ("volatility", "trend")
_LONG = 100  # bars of lookback: the volatility of such a set reacts too slowly to follow a regime
_RETURN = re.compile(r"return_(\d+)")


def coordinates(names: Sequence[str], x: Array, lookback: int) -> Array:
    """Return [N, 2] of raw states x [N, F]: the log of the recent volatility, and the return over the longest window.

    The volatility of a set with a long window is brought to the recent one by `volatility_ratio`, which is its
    short volatility over its long one.

    Raises:
        FeatureMismatch: the features have no `volatility` or no `return_N`.
    """
    returns = {int(found[1]): name for name in names if (found := _RETURN.fullmatch(name))}
    if "volatility" not in names or not returns:
        raise FeatureMismatch(
            f"regimes need features called 'volatility' and 'return_N' (N bars); found {', '.join(names)}"
        )
    column = {name: x[:, index] for index, name in enumerate(names)}
    level = np.log(np.maximum(column["volatility"], 1e-12))
    if lookback >= _LONG and "volatility_ratio" in column:
        level = level + np.log(np.maximum(column["volatility_ratio"], 1e-12))
    return np.stack([level, column[returns[max(returns)]]], axis=1)
