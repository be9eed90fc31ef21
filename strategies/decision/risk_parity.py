"""The covariance of several symbols' returns, and the weights by which each has the same part of their risk."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["TrailingReturns", "equal_risk_weights", "shrunk_covariance"]

Array = NDArray[np.float64]

_NEWTON_STEPS = 100  # about ten are used; the steps of a self-concordant function need no line search
_DAMPED_ABOVE = 0.95 * (3.0 - 5.0**0.5) / 2.0


class TrailingReturns:
    """The last `window` log-returns of all symbols, on the closes at which any of them had a bar.

    A symbol without a bar at such a close keeps its price: the return of the hole comes with its next bar.
    """

    def __init__(self, symbols: int, window: int) -> None:
        self._rows: deque[Array] = deque(maxlen=window + 1)
        self._last = np.full(symbols, np.nan)
        self._clock = -np.inf

    def add(self, clock: float, closes: Sequence[tuple[int, float]]) -> None:
        """Add the closes (number of the symbol, price) of the bars at the time `clock`, in any unit."""
        if not closes:
            return
        numbers, prices = zip(*closes, strict=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            self._last[list(numbers)] = np.log(prices)
        if clock == self._clock:  # a live feed may deliver the bars of one close in several parts
            self._rows[-1] = self._last.copy()
        else:
            self._rows.append(self._last.copy())
        self._clock = clock

    def of(self, numbers: Sequence[int]) -> Array:
        """Return the log-returns of some symbols [T, N], the latest last; NaN before a symbol's first bar."""
        if not self._rows:
            return np.empty((0, len(numbers)))
        with np.errstate(invalid="ignore"):
            returns: Array = np.diff(np.stack(self._rows)[:, numbers], axis=0)
        returns[~np.isfinite(returns)] = np.nan
        return returns


def shrunk_covariance(returns: Array) -> Array:
    """Return the covariance [N, N] of log-returns [T, N], of the same unit of time; NaN are unknown returns.

    Each variance is that of the symbol's known returns: it needs two of them, otherwise it is 0. The correlations are
    shrunk towards 0 by the formula of Ledoit and Wolf. An unknown return counts as its mean, so two symbols with a
    short common past have a small correlation.

    References:
        A Well-Conditioned Estimator for Large-Dimensional Covariance Matrices (Ledoit & Wolf, 2004).
    """
    from sklearn.covariance import ledoit_wolf  # slow to import, and most runs do not need it

    known = np.isfinite(returns)
    count = known.sum(axis=0)
    past = np.where(known, returns, 0.0)
    mean = past.sum(axis=0) / np.maximum(count, 1)
    away = np.where(known, past - mean, 0.0)
    std = np.sqrt((away * away).sum(axis=0) / np.maximum(count, 1))
    std[count < 2] = 0.0
    moves = std > 0.0
    out = np.zeros((returns.shape[1],) * 2)
    if moves.any():
        shrunk, _ = ledoit_wolf(away[:, moves] / std[moves], assume_centered=True)
        scale = std[moves] / np.sqrt(np.diag(shrunk))
        out[np.ix_(moves, moves)] = shrunk * scale * scale[:, None]
    return out


def equal_risk_weights(covariance: Array) -> Array:
    """Return weights [N] that sum to 1, of which each has the same part of the variance w' C w; `covariance` is [N, N].

    The weights are those of a portfolio of long positions. A symbol without a variance has the weight 0.

    References:
        The Properties of Equally Weighted Risk Contribution Portfolios (Maillard, Roncalli & Teiletche, 2010).
        An Algorithm for Computing Risk Parity Weights (Spinu, 2013): Newton's method on a convex function.
    """
    variance = np.diag(covariance)
    known = np.isfinite(variance) & (variance > 0.0)
    weights = np.zeros(len(variance))
    if not known.any():
        return weights
    std = np.sqrt(variance[known])
    correlation = covariance[np.ix_(known, known)] / std / std[:, None]
    weights[known] = _spinu(correlation) / std
    weights /= weights.sum()
    return weights


def _spinu(correlation: Array) -> Array:
    """Return the positive minimum of x' C x / 2 - mean(log x): there x (C x) is the same for all symbols."""
    n = len(correlation)
    x = np.full(n, correlation.sum() ** -0.5 if correlation.sum() > 0.0 else n**-0.5)
    for _ in range(_NEWTON_STEPS):
        gradient = correlation @ x - 1.0 / (n * x)
        step = np.linalg.solve(correlation + np.diag(1.0 / (n * x * x)), gradient)
        # n times the function is self-concordant: its Newton decrement says when a full step is safe.
        decrement = float(np.sqrt(n * max(gradient @ step, 0.0)))
        x = x - (step / (1.0 + np.abs(step / x).max()) if decrement > _DAMPED_ABOVE else step)
        if decrement < 1e-10:
            break
    return x
