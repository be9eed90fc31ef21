"""Split-conformal calibration on held-out rows: p-values of log-densities, confidence of scores, coverage error.

References:
    Algorithmic Learning in a Random World (Vovk, Gammerman & Shafer, 2005).
    Inductive Conformal Anomaly Detection (Laxhammar & Falkman, 2015).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..base.printable import one_line

__all__ = ["Calibration", "coverage_error", "ks_uniform"]

Array = NDArray[np.float64]

_TABLE = 4001  # order statistics kept: ranks are exact to 1/4000 for any number of rows


@dataclass(frozen=True)
class Calibration:
    """Sorted log-densities and |score| of each signal, from rows that were not used in training.

    Attributes:
        log_density: sorted calibration log-densities (or 4,001 of their order statistics).
        magnitude: per signal ("forward", "state") the sorted |score|.
        rows: number of calibration rows behind the tables.
        typical_forecast: root mean square of the forward return's mean over its standard deviation; NaN in models of
            earlier versions.
    """

    log_density: Array
    magnitude: dict[str, Array]
    rows: int
    typical_forecast: float = math.nan

    def __repr__(self) -> str:
        return one_line(self, **vars(self))

    @classmethod
    def fit(cls, log_density: Array, scores: dict[str, Array], forecast: Array | None = None) -> Self:
        """Build from held-out log-densities [N], signed scores [N] by signal, and mean / standard deviation [N]."""
        magnitude = {name: _table(np.abs(values)) for name, values in scores.items()}
        # Forecasts below the rounding are none, as all zeros are: their strength is 0, not that of a typical one.
        typical = math.nan if forecast is None else round(_root_mean_square(forecast), 12) or 1.0
        return cls(_table(log_density), magnitude, len(log_density), typical)

    def density_rank(self, log_density: Array) -> Array:
        """Return conformal p-values in (0, 1]: the share of calibration rows with no higher log-density than each row.

        The rank of a new row exchangeable with the calibration rows is <= a with probability at most a (up to 1/rows).
        """
        below = np.searchsorted(self.log_density, log_density, side="right") / len(self.log_density)
        return np.asarray((below * self.rows + 1.0) / (self.rows + 1.0))

    def confidence(self, signal: str, score: Array) -> Array:
        """Return the ECDF of |score| on the calibration span, in [0, 1]; rows are independent."""
        table = self.magnitude[signal]
        return np.asarray(np.searchsorted(table, np.abs(score), side="right") / len(table))

    def typical_magnitude(self, signal: str) -> float:
        """Return the root mean square of the score on the calibration span; 1 if all scores were 0."""
        return _root_mean_square(self.magnitude[signal])

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "log_density": self.log_density.tolist(),
            "magnitude": {name: table.tolist() for name, table in self.magnitude.items()},
            "rows": self.rows,
            **({"typical_forecast": self.typical_forecast} if math.isfinite(self.typical_forecast) else {}),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Rebuild from `to_dict`."""
        return cls(
            np.asarray(values["log_density"], dtype=np.float64),
            {name: np.asarray(table, dtype=np.float64) for name, table in values["magnitude"].items()},
            int(values["rows"]),
            float(values.get("typical_forecast", math.nan)),
        )


def _root_mean_square(values: Array) -> float:
    return math.sqrt(float(np.mean(values**2))) or 1.0


def _table(values: Array) -> Array:
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    if len(ordered) > _TABLE:
        ordered = ordered[np.round(np.linspace(0, len(ordered) - 1, _TABLE)).astype(int)]
    return np.asarray(np.round(ordered, 10))


def coverage_error(rank: Array, levels: tuple[float, ...] = (0.01, 0.05, 0.10, 0.25, 0.5)) -> float:
    """Return the largest |share of rows with rank <= a, minus a| over the levels a; 0 is perfect coverage."""
    return max(abs(float((rank <= level).mean()) - level) for level in levels)


def ks_uniform(p: Array) -> float:
    """Return the Kolmogorov-Smirnov distance of values p [N] from the uniform distribution."""
    ordered, n = np.sort(p), len(p)
    grid = np.arange(1, n + 1) / n
    return float(np.maximum(grid - ordered, ordered - grid + 1 / n).max())
