"""Check and scale the feature values that conditional sampling is given."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..base.did_you_mean import close_matches
from ..errors import FeatureMismatch
from ..scaling import Scaler

__all__ = ["check_known_values", "scale_known_values"]

Array = NDArray[np.float64]


def scale_known_values(
    names: tuple[str, ...], scaler: Scaler, known: Mapping[str, Array]
) -> dict[int, Array]:
    """Return column -> scaled values [N], from raw values [N] by feature name; `names` lists all features."""
    rows = len(next(iter(known.values())))
    x = np.repeat(scaler.inverse(np.zeros((1, len(names)))), rows, axis=0)
    for name, values in known.items():
        x[:, names.index(name)] = values
    z = scaler.transform(x)
    return {names.index(name): z[:, names.index(name)] for name in known}


def check_known_values(names: tuple[str, ...], scaler: Scaler, known: Mapping[str, float]) -> None:
    """Check that each key of `known` is a feature name and each raw value is possible for that feature.

    Raises:
        FeatureMismatch: for the first invalid entry; the message names it.
    """
    middle = scaler.inverse(np.zeros((1, len(names))))
    for name, value in known.items():
        if name not in names:
            near = close_matches(name, names)
            hint = f"did you mean {near[0]!r}?" if near else f"known features: {', '.join(names)}"
            raise FeatureMismatch(f"unknown feature {name!r}; {hint}")
        x = middle.copy()
        x[0, names.index(name)] = value
        with np.errstate(all="ignore"):
            back = scaler.inverse(scaler.transform(x))[0, names.index(name)]
        # A value that the scaler cannot invert is outside the feature's range or too far from the training data.
        if not np.isclose(back, value, rtol=1e-3, atol=1e-9):
            kind = {"log": "a positive number", "logit": "a number in [0, 1]"}.get(
                scaler.kinds[names.index(name)], "a number"
            )
            raise FeatureMismatch(f"{name}: expected {kind} in reach of the training data, found {value!r}")
