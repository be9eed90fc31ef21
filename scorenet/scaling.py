"""Scale features: log or logit transform, standardise, and limit outliers to +-5 with a smooth function.

Statistics come from the training span only and are saved with the model. A hard clip at 5 standard deviations would
put positive probability on single values (-5 and 5), where no score exists. c(z) = z / sqrt(1 + (z/5)^2) has the same
limits, is smooth and can be inverted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .base.printable import one_line
from .errors import FeatureMismatch

__all__ = ["Scaler"]

Array = NDArray[np.float64]

_LOGIT_MARGIN = 0.01  # keeps the logits of 0 and 1 finite: they become +-4.6 before scaling
_POSITIVE_FLOOR = 1e-12


@dataclass(frozen=True)
class Scaler:
    """Map raw features [N, F] to scaled features [N, F] with mean about 0 and standard deviation about 1.

    Attributes:
        kinds: per feature "linear", "log" or "logit".
        mean: [F] mean of the training features after the log or logit transform.
        std: [F] their standard deviation.
        clip: limit of the scaled features, in standard deviations.
    """

    kinds: tuple[str, ...]
    mean: Array
    std: Array
    clip: float = 5.0

    def __repr__(self) -> str:
        return one_line(self, **vars(self))

    @classmethod
    def fit(cls, x: Array, kinds: tuple[str, ...], clip: float = 5.0) -> Self:
        """Fit on the training rows [N, F]; a constant feature gets standard deviation 1 and scales to 0."""
        transformed = _transform(_checked(x, len(kinds)), kinds)
        std = transformed.std(axis=0)
        # A smaller standard deviation is rounding error, and dividing by it would amplify that error.
        constant = std <= 1e-12 * np.maximum(np.abs(transformed).max(axis=0), 1e-300)
        return cls(tuple(kinds), transformed.mean(axis=0), np.where(constant, 1.0, std), clip)

    def transform(self, x: Array) -> Array:
        """Scale raw features [N, F]; rows are independent."""
        z = (_transform(_checked(x, len(self.kinds)), self.kinds) - self.mean) / self.std
        return np.asarray(z / np.sqrt(1.0 + (z / self.clip) ** 2))

    def inverse(self, z: Array) -> Array:
        """Map scaled features [N, F] back to raw ones; values beyond the limit count as just inside it."""
        inside = np.clip(np.asarray(z, dtype=np.float64), -0.999 * self.clip, 0.999 * self.clip)
        transformed = inside / np.sqrt(1.0 - (inside / self.clip) ** 2) * self.std + self.mean
        out = transformed.copy()
        for index, kind in enumerate(self.kinds):
            if kind == "log":
                out[:, index] = np.exp(transformed[:, index])
            elif kind == "logit":
                squashed = 1.0 / (1.0 + np.exp(-transformed[:, index]))
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


def _transform(x: Array, kinds: tuple[str, ...]) -> Array:
    out = x.copy()
    for index, kind in enumerate(kinds):
        if kind == "log":
            out[:, index] = np.log(np.maximum(x[:, index], _POSITIVE_FLOOR))
        elif kind == "logit":
            unit = _LOGIT_MARGIN + (1 - 2 * _LOGIT_MARGIN) * x[:, index]
            out[:, index] = np.log(unit / (1.0 - unit))
    return out
