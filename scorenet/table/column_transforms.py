"""Column transforms of a raw table: drop constants, detect lattices (e.g. integers), standardise, and reduce skewness.

A column gets a sinh-arcsinh transform where that makes it much more Gaussian. The transform is smooth and invertible
and handles skewness and heavy tails, so densities and scores in the units of the table have exact Jacobians.

References:
    Sinh-arcsinh Distributions (Jones & Pewsey, 2009).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["Columns"]

Array = NDArray[np.float64]

_ROWS = 20_000  # rows used to choose the transform of a column
_CONSTANT = 1e-12  # a standard deviation below this share of the values is rounding error
_FINE = 0.02  # a lattice step below this, in standard deviations, counts as continuous
_GAIN = 0.05  # gain in nats per row that a sinh-arcsinh transform must bring
_PRICE = 10.0  # the same for short columns: nats in total, for two more parameters
_BEND_ROWS = 2_000
_FAR = 1e60  # squares of smaller values are finite


@dataclass(frozen=True)
class Columns:
    """The transform of each column: z = (sinh(tail * asinh((x - centre) / unit) - skew) - shift) / spread.

    Attributes:
        constants: [D] the value of each constant column, NaN for the others.
        rows: number of rows fitted; it sets the probability of a new value in a constant column.
        step: [d] lattice step of each remaining column, in its own units; 0 for a continuous one.
        origin: [d] a point of the lattice.
        centre, unit, tail, skew, shift, spread: [d] parameters of the transform; tail 1 and skew 0 make it linear.
    """

    constants: Array
    rows: int
    step: Array
    origin: Array
    centre: Array
    unit: Array
    tail: Array
    skew: Array
    shift: Array
    spread: Array

    @classmethod
    def fit(cls, x: Array, *, bend: bool) -> Self:
        """Fit the columns of x [N, D]; without `bend` the transform only standardises.

        Raises:
            ValueError: when a column's variance overflows.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            mean, std = x.mean(axis=0), x.std(axis=0)
        if not np.isfinite(std).all():
            raise ValueError(
                f"expected columns whose squares are finite, found values up to {np.abs(x).max():.1e}; rescale them"
            )
        constant = std <= _CONSTANT * np.maximum(np.abs(x).max(axis=0), 1e-300)
        moving = np.flatnonzero(~constant)
        seen = x[np.linspace(0, len(x) - 1, min(len(x), _ROWS)).astype(int)][:, moving]
        mean, std = mean[moving], std[moving]
        step = np.array([_lattice_step(v) for v in seen.T])
        step[step < _FINE * std] = 0.0
        lines = np.tile([0.0, 1.0, 1.0, 0.0, 0.0, 1.0], (len(moving), 1))
        lines[:, 0], lines[:, 1] = mean, std
        if bend:
            for index, values in enumerate(seen.T):
                bent = _bent(values, mean[index], std[index])
                lines[index] = lines[index] if bent is None else bent
        centre, unit, tail, skew, shift, spread = lines.T
        constants = np.where(constant, x[0], np.nan)
        return cls(constants, len(x), step, seen.min(axis=0), centre, unit, tail, skew, shift, spread)

    @property
    def moving(self) -> NDArray[np.bool_]:
        """[D] which columns vary, and so have a density."""
        return np.isnan(self.constants)

    @property
    def resolution(self) -> Array:
        """[d] standard deviation of a uniform value within a lattice cell, in scaled units; 0 for continuous."""
        at = np.tile(self.constants, (1, 1))
        at[:, self.moving] = self.centre
        return np.asarray(self.step * self.slope(at)[0] / math.sqrt(12.0))

    def scale(self, x: Array) -> Array:
        """Return z [N, d] of rows x [N, D]; rows are independent."""
        return np.asarray((np.sinh(self._angle(x)[1]) - self.shift) / self.spread)

    def slope(self, x: Array) -> Array:
        """Return dz/dx [N, d]."""
        u, angle = self._angle(x)
        return np.asarray(self.tail * np.cosh(angle) / np.hypot(1.0, u) / (self.unit * self.spread))

    def log_slope(self, x: Array) -> Array:
        """Return ln det dz/dx, [N]."""
        u, angle = self._angle(x)
        log_cosh = np.logaddexp(angle, -angle) - math.log(2.0)
        logs = np.log(self.tail / (self.unit * self.spread)) + log_cosh - np.log(np.hypot(1.0, u))
        return np.asarray(logs.sum(axis=1))

    def log_slope_gradient(self, x: Array) -> Array:
        """Return the gradient of `log_slope` in the units of the table, [N, d]."""
        u, angle = self._angle(x)
        root = np.hypot(1.0, u)
        return np.asarray((self.tail * np.tanh(angle) / root - u / root / root) / self.unit)

    def raw(self, z: Array, *, on_lattice: bool) -> Array:
        """Return rows [N, D] in the units of the table; `on_lattice` rounds to values that the column can take."""
        u = np.sinh((np.arcsinh(z * self.spread + self.shift) + self.skew) / self.tail)
        x = self.centre + self.unit * u
        if on_lattice:
            step = np.where(self.step > 0, self.step, 1.0)
            x = np.where(self.step > 0, self.origin + step * np.round((x - self.origin) / step), x)
        out = np.tile(self.constants, (len(z), 1))
        out[:, self.moving] = x
        return out

    def constant_log_probability(self, x: Array) -> Array:
        """Return the log-probability [N] of the values in the constant columns: 0 for the training value.

        Any other value has probability 1 / (N + 2) by the rule of succession, less with growing distance in units of
        the constant.
        """
        fixed = self.constants[~self.moving]
        unit = np.maximum(np.abs(fixed), 1.0)
        with np.errstate(over="ignore"):
            away = np.minimum(np.abs(x[:, ~self.moving] - fixed) / unit, _FAR)
        penalty = -math.log(self.rows + 2.0) - np.log1p(away**2)
        return np.asarray(np.where(away > _CONSTANT, penalty, 0.0).sum(axis=1))

    def _angle(self, x: Array) -> tuple[Array, Array]:
        with np.errstate(over="ignore"):
            u = np.clip((x[:, self.moving] - self.centre) / self.unit, -_FAR, _FAR)
        return u, self.tail * np.arcsinh(u) - self.skew


def _lattice_step(values: Array) -> float:
    """Return the step of the lattice that all values lie on, or 0; most values must occur more than once."""
    distinct = np.unique(values)
    if len(distinct) < 2 or len(distinct) > len(values) / 2:
        return 0.0
    steps = (distinct - distinct[0]) / np.diff(distinct).min()
    on_lattice = np.abs(steps - np.round(steps)).max() < 1e-3
    return float(np.diff(distinct).min()) if on_lattice else 0.0


def _bent(values: Array, mean: float, std: float) -> tuple[float, ...] | None:
    """Return (centre, unit, tail, skew, shift, spread) of the most Gaussian transform, or None if it gains little.

    Tails are never made heavier (tail <= 1): the transform should move outliers inwards.
    """
    from scipy.optimize import minimize

    values = values[np.linspace(0, len(values) - 1, min(len(values), _BEND_ROWS)).astype(int)]
    low, centre, high = np.quantile(values, (0.25, 0.5, 0.75))
    unit = float(high - low) / 1.35 or std
    angle = np.arcsinh((values - centre) / unit)
    log_root = float(np.log(np.cosh(angle)).mean())

    def loss(point: Array) -> float:
        tail, skew = math.exp(point[0]), point[1]
        turned = tail * angle - skew
        log_cosh = np.logaddexp(turned, -turned).mean() - math.log(2.0)
        return float(np.log(np.sinh(turned).std()) - log_cosh - point[0] + log_root)

    bounds = [(math.log(0.1), 0.0), (-3.0, 3.0)]
    found = minimize(loss, (-0.1, 0.0), method="Nelder-Mead", bounds=bounds, options={"maxfev": 120})
    if loss(np.zeros(2)) - found.fun < max(_GAIN, _PRICE / len(values)):
        return None
    tail, skew = math.exp(found.x[0]), float(found.x[1])
    bent = np.sinh(tail * angle - skew)
    return float(centre), unit, tail, skew, float(bent.mean()), float(bent.std())
