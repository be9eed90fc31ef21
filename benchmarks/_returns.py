"""Baseline densities of forward returns: EWMA volatility with a Student t distribution, and a ridge regression.

Both use the same rows as our net, and return a log score and a CRPS per row, in volatility units of the horizon.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import optimize, special, stats
from sklearn.linear_model import RidgeCV

__all__ = ["HALF_LIVES", "EwmaStudent", "RidgeGaussian", "ewma_volatility"]

Array = NDArray[np.float64]
Scores = tuple[Array, Array]

HALF_LIVES = (12, 24, 48, 72, 120, 168, 240, 336)


def ewma_volatility(close: Array, half_life: int) -> Array:
    """Return the exponentially weighted root mean square log-return [T], known at each bar's close."""
    keep = 0.5 ** (1 / half_life)
    squared = np.diff(np.log(close), prepend=np.log(close[0])) ** 2
    out, level = np.empty(len(close)), float(squared[1:169].mean())
    for t, value in enumerate(squared.tolist()):
        level = keep * level + (1 - keep) * value
        out[t] = level
    return np.sqrt(out)


class EwmaStudent:
    """y ~ location + scale * EWMA volatility * Student t; all parameters and the half-life by maximum likelihood."""

    def fit(self, y: Array, volatility: dict[int, Array]) -> EwmaStudent:
        fits = {half_life: self._maximise(y, np.log(sigma)) for half_life, sigma in volatility.items()}
        self.half_life = min(fits, key=lambda half_life: fits[half_life].fun)
        self.location, self.log_scale, log_freedom = fits[self.half_life].x
        self.freedom = 2.05 + math.exp(log_freedom)
        return self

    def scores(self, y: Array, volatility: dict[int, Array]) -> Scores:
        scale = np.exp(self.log_scale) * volatility[self.half_life]
        z, student = (y - self.location) / scale, stats.t(self.freedom)
        return student.logpdf(z) - np.log(scale), scale * _student_crps(z, self.freedom)

    def pit(self, y: Array, volatility: dict[int, Array]) -> Array:
        scale = np.exp(self.log_scale) * volatility[self.half_life]
        return np.asarray(stats.t(self.freedom).cdf((y - self.location) / scale))

    def _maximise(self, y: Array, log_sigma: Array) -> optimize.OptimizeResult:
        def loss(parameters: Array) -> float:
            location, log_scale, log_freedom = parameters
            scale = log_scale + log_sigma
            z = (y - location) * np.exp(-scale)
            nu = 2.05 + math.exp(min(log_freedom, 5.0))
            constant = special.gammaln((nu + 1) / 2) - special.gammaln(nu / 2) - 0.5 * math.log(nu * math.pi)
            return float((scale + (nu + 1) / 2 * np.log1p(z**2 / nu)).mean() - constant)

        return optimize.minimize(loss, np.array([0.0, -float(log_sigma.mean()), 1.0]), method="BFGS")


class RidgeGaussian:
    """y ~ N(ridge regression on the features, constant variance); the penalty by generalised cross-validation."""

    def fit(self, x: Array, y: Array) -> RidgeGaussian:
        self.ridge = RidgeCV(alphas=np.logspace(0, 6, 13)).fit(x, y)
        self.sigma = float((y - self.ridge.predict(x)).std())
        return self

    def scores(self, x: Array, y: Array) -> Scores:
        z = (y - self.ridge.predict(x)) / self.sigma
        density = np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
        cdf = torch.special.ndtr(torch.from_numpy(z)).numpy()
        crps = self.sigma * (z * (2 * cdf - 1) + 2 * density - 1 / math.sqrt(math.pi))
        return -0.5 * z**2 - math.log(self.sigma * math.sqrt(2 * math.pi)), crps


def _student_crps(z: Array, nu: float) -> Array:
    student = stats.t(nu)
    spread = 2 * math.sqrt(nu) / (nu - 1) * special.beta(0.5, nu - 0.5) / special.beta(0.5, nu / 2) ** 2
    return np.asarray(z * (2 * student.cdf(z) - 1) + 2 * student.pdf(z) * (nu + z**2) / (nu - 1) - spread)
