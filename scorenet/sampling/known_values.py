"""Values of some features, by name: checked, and scaled as the model scales them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..errors import FeatureMismatch
from ..scaling import Scaler

__all__ = ["check_known", "scale_known"]

Array = NDArray[np.float64]


def scale_known(names: tuple[str, ...], scaler: Scaler, known: Mapping[str, Array]) -> dict[int, Array]:
    """Return column -> scaled values [N] of raw values [N] of some of the features `names`."""
    rows = len(next(iter(known.values())))
    x = np.repeat(scaler.inverse(np.zeros((1, len(names)))), rows, axis=0)
    for name, values in known.items():
        x[:, names.index(name)] = values
    z = scaler.transform(x)
    return {names.index(name): z[:, names.index(name)] for name in known}


def check_known(names: tuple[str, ...], scaler: Scaler, known: Mapping[str, float]) -> None:
    """Check that the raw values `known` name features and are values that these can take.

    Raises:
        FeatureMismatch: for the first one that is not; the message says which.
    """
    middle = scaler.inverse(np.zeros((1, len(names))))
    for name, value in known.items():
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known features: {', '.join(names)}"
            raise FeatureMismatch(f"unknown feature {name!r}; {hint}")
        x = middle.copy()
        x[0, names.index(name)] = value
        with np.errstate(all="ignore"):
            back = scaler.inverse(scaler.transform(x))[0, names.index(name)]
        # What the scaler does not give back lies outside the feature's range or beyond the reach of the data.
        if not np.isclose(back, value, rtol=1e-3, atol=1e-9):
            kind = {"log": "a positive number", "logit": "a number in [0, 1]"}.get(
                scaler.kinds[names.index(name)], "a number"
            )
            raise FeatureMismatch(f"{name}: expected {kind} in reach of the training data, found {value!r}")
