"""Forward-return density p(y | x): y is the log-return over the next `horizon` bars in units of volatility.

A net maps a state x to a Gaussian mixture over y, trained by denoising score matching on y. Noise of size sigma on y
only widens each component, so the score of y, the mean, tail means and P(y > 0) have closed forms, quantiles follow
from the exact distribution function, and the density is normalised by construction.

The score at y = 0 is the `forward` signal. By Tweedie's formula sigma^2 score(0) -> E[y | x] as sigma grows:
a positive score means that the *forward* return is expected to be positive. (The score of the return already realised
has the opposite meaning.)

References:
    Strictly Proper Scoring Rules, Prediction, and Estimation (Gneiting & Raftery, 2007): CRPS.
    Optimization of Conditional Value-at-Risk (Rockafellar & Uryasev, 2000).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..base.printable import one_line
from .moments import lower_tail_mean, mixture_quantile, pooled
from .net import ForwardNet, score_at_zero

__all__ = ["ForwardReturn", "forward_target"]

Array = NDArray[np.float64]

_BLOCK = 64  # rows per block, so that all pairs of components fit into a CPU cache


def forward_target(close: Array, volatility: Array, horizon: int) -> Array:
    """Return y [T]: log(close[t + h] / close[t]) / (volatility[t] sqrt(h)), NaN on the last h rows.

    `volatility` is the root mean square log-return per bar, computed from bars up to t.
    """
    out = np.full(len(close), np.nan)
    if len(close) > horizon:
        move = np.log(close[horizon:] / close[:-horizon])
        out[:-horizon] = move / (volatility[:-horizon] * math.sqrt(horizon))
    return out


@dataclass(frozen=True)
class ForwardReturn:
    """p(y | x) of N states: the mixture over all ensemble members, y in volatility units of the horizon.

    Attributes:
        weights, means, widths: float64 [N, C], the pooled mixture.
        sigma: noise level of `score`.
        member_scores: [M, N], the score at y = 0 by ensemble member.
    """

    weights: Array
    means: Array
    widths: Array
    sigma: float
    member_scores: Array

    def __repr__(self) -> str:
        return one_line(self, **vars(self))

    @classmethod
    def from_net(cls, net: ForwardNet, x: Tensor, sigma: float) -> ForwardReturn:
        """Evaluate the ensemble on scaled states x [N, F]."""
        parts = net(x)
        scores = score_at_zero(parts, sigma)
        weights, means, widths = (part.numpy() for part in pooled(parts))
        return cls(weights, means, widths, sigma, scores.numpy())

    @property
    def score(self) -> Array:
        """Score of the forward return at y = 0 and noise level sigma, mean over the ensemble, [N]."""
        return np.asarray(self.member_scores.mean(axis=0))

    @property
    def score_std(self) -> Array:
        """Standard deviation of the score over the ensemble, [N]."""
        return np.asarray(self.member_scores.std(axis=0))

    @property
    def mean(self) -> Array:
        """E[y | x], [N]."""
        return np.asarray((self.weights * self.means).sum(axis=1))

    @property
    def std(self) -> Array:
        """Standard deviation of y given x, [N]."""
        second = (self.weights * (self.means**2 + self.widths**2)).sum(axis=1)
        return np.asarray(np.sqrt(np.maximum(second - self.mean**2, 0.0)))

    @property
    def p_up(self) -> Array:
        """P(y > 0 | x), [N]."""
        return 1.0 - self.cdf(np.zeros(len(self.weights)))

    def cdf(self, y: Array) -> Array:
        """P(Y <= y | x), [N]."""
        z = (np.asarray(y)[:, None] - self.means) / self.widths
        return np.asarray((self.weights * _normal_cdf(z)).sum(axis=1))

    def log_density(self, y: Array) -> Array:
        """log p(y | x), [N], nats per unit of y: the log score of outcomes y [N]."""
        z = (np.asarray(y)[:, None] - self.means) / self.widths
        terms = np.log(self.weights) - 0.5 * z**2 - np.log(self.widths) - 0.5 * math.log(2 * math.pi)
        top = terms.max(axis=1, keepdims=True)
        return np.asarray(top[:, 0] + np.log(np.exp(terms - top).sum(axis=1)))

    def quantile(self, q: float) -> Array:
        """Return the q-quantile of y given x, [N], from the exact distribution function."""
        if not 0.0 < q < 1.0:
            raise ValueError(f"quantile: expected 0 < q < 1, found {q}")
        return np.asarray(mixture_quantile(*self._tensors(), q).numpy())

    def cvar(self, alpha: float = 0.05) -> Array:
        """Return E[y | y <= quantile(alpha)], [N]: the mean of the worst `alpha` share; losses are negative."""
        cut = torch.from_numpy(self.quantile(alpha))
        return np.asarray(lower_tail_mean(*self._tensors(), alpha, cut).numpy())

    def _tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        weights, means, widths = map(torch.from_numpy, (self.weights, self.means, self.widths))
        return weights, means, widths

    def pit(self, y: Array) -> Array:
        """Return the probability integral transform of outcomes y [N]: uniform if the density is right."""
        return self.cdf(y)

    def crps(self, y: Array) -> Array:
        """Continuous ranked probability score of outcomes y [N] (lower is better), closed form of a mixture."""
        outcome = np.asarray(y)[:, None]
        distance = (self.weights * _mean_abs(outcome - self.means, self.widths)).sum(axis=1)
        spread = np.empty(len(distance))
        first, second = np.triu_indices(self.weights.shape[1], 1)
        for begin in range(0, len(spread), _BLOCK):
            rows = slice(begin, begin + _BLOCK)
            weights, means, widths = self.weights[rows], self.means[rows], self.widths[rows]
            own = (weights**2 * _mean_abs(np.zeros_like(means), math.sqrt(2) * widths)).sum(axis=1)
            gap, width = means[:, first] - means[:, second], np.hypot(widths[:, first], widths[:, second])
            pairs = (weights[:, first] * weights[:, second] * _mean_abs(gap, width)).sum(axis=1)
            spread[rows] = own + 2 * pairs
        return np.asarray(distance - 0.5 * spread)


def _normal_cdf(z: Array) -> Array:
    return np.asarray(torch.special.ndtr(torch.from_numpy(np.ascontiguousarray(z))).numpy())


def _mean_abs(mean: Array, std: Array) -> Array:
    """E|N(mean, std^2)|."""
    z = mean / std
    return np.asarray(
        mean * (2 * _normal_cdf(z) - 1) + 2 * std * np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
    )
