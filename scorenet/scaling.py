"""Put features on one scale: straighten, standardise, and bend outliers smoothly back to +-5.

Statistics come from the training span only and travel with the model. The hard clip at 5 standard deviations
of the usual recipe puts atoms of probability on the faces of a box, where no score exists; c(z) = z / sqrt(1
+ (z/5)^2) has the same reach, is smooth and can be inverted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .errors import FeatureMismatch

__all__ = ["Scaler"]

Array = NDArray[np.float64]

_LOGIT_MARGIN = 0.01  # keeps 0 and 1 finite; a market at its extreme sits at +-4.6 before scaling
_POSITIVE_FLOOR = 1e-12


@dataclass(frozen=True)
class Scaler:
    """Map raw features [N, F] to scaled features [N, F] with mean about 0 and standard deviation about 1.

    Attributes:
        kinds: per feature "linear", "log" or "logit".
        mean: [F] of the straightened training features.
        std: [F] of the straightened training features.
        clip: reach of the smooth clip in standard deviations.
    """

    kinds: tuple[str, ...]
    mean: Array
    std: Array
    clip: float = 5.0

    @classmethod
    def fit(cls, x: Array, kinds: tuple[str, ...], clip: float = 5.0) -> Self:
        """Fit on the training rows [N, F]; a constant feature gets the scale 1 and stays at 0."""
        straight = _straighten(_checked(x, len(kinds)), kinds)
        std = straight.std(axis=0)
        # Below this a column is constant up to rounding, and dividing by it would turn the rounding into signal.
        constant = std <= 1e-12 * np.maximum(np.abs(straight).max(axis=0), 1e-300)
        return cls(tuple(kinds), straight.mean(axis=0), np.where(constant, 1.0, std), clip)

    def transform(self, x: Array) -> Array:
        """Scale raw features [N, F]; a row depends on no other row."""
        z = (_straighten(_checked(x, len(self.kinds)), self.kinds) - self.mean) / self.std
        return np.asarray(z / np.sqrt(1.0 + (z / self.clip) ** 2))

    def inverse(self, z: Array) -> Array:
        """Map scaled features [N, F] back to raw ones; values beyond the clip are read as just inside it."""
        inside = np.clip(np.asarray(z, dtype=np.float64), -0.999 * self.clip, 0.999 * self.clip)
        straight = inside / np.sqrt(1.0 - (inside / self.clip) ** 2) * self.std + self.mean
        out = straight.copy()
        for index, kind in enumerate(self.kinds):
            if kind == "log":
                out[:, index] = np.exp(straight[:, index])
            elif kind == "logit":
                squashed = 1.0 / (1.0 + np.exp(-straight[:, index]))
                unit = (squashed - _LOGIT_MARGIN) / (1 - 2 * _LOGIT_MARGIN)
                out[:, index] = np.clip(unit, 0.0, 1.0)
        return out

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "kinds": list(self.kinds),
            "mean": self.mean.tolist(),
            "std": self.std.tolist(),
            "clip": self.clip,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Rebuild from `to_dict`."""
        return cls(
            tuple(values["kinds"]),
            np.asarray(values["mean"], dtype=np.float64),
            np.asarray(values["std"], dtype=np.float64),
            float(values["clip"]),
        )


def _checked(x: Array, width: int) -> Array:
    x = np.asarray(x, dtype=np.float64)
    if x.ndim != 2 or x.shape[1] != width:
        raise FeatureMismatch(f"expected raw features of shape [N, {width}], found {list(x.shape)}")
    return x


def _straighten(x: Array, kinds: tuple[str, ...]) -> Array:
    out = x.copy()
    for index, kind in enumerate(kinds):
        if kind == "log":
            out[:, index] = np.log(np.maximum(x[:, index], _POSITIVE_FLOOR))
        elif kind == "logit":
            unit = _LOGIT_MARGIN + (1 - 2 * _LOGIT_MARGIN) * x[:, index]
            out[:, index] = np.log(unit / (1.0 - unit))
    return out
