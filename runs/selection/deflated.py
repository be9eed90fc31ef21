"""The deflated Sharpe ratio: the best of N trials against the best that N trials without an edge would show.

The published ratio is a confidence and not a test of nominal size: it compares a maximum with its own expected value,
and gives it the standard error of a single trial. docs/selection.md shows how often it rejects;
`superior_ability` is the test of the right size.

References:
    The deflated Sharpe ratio: correcting for selection bias, backtest overfitting and non-normality (Bailey and Lopez
    de Prado, 2014, Journal of Portfolio Management 40(5)); its appendix 3 has the effective number of trials.
    Rectangular confidence regions for the means of multivariate normal distributions (Sidak, 1967, JASA 62).
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import ndtri

from .sharpe import SharpeEstimate
from .trials import SelectionError, Trials, column_chunks

__all__ = ["deflated_sharpe", "effective_trials", "expected_maximum_sharpe", "sidak_p_value"]


def expected_maximum_sharpe(variance: float, n_trials: float) -> float:
    """Return the expected best Sharpe of `n_trials` independent trials whose true Sharpe ratios are 0.

    `variance` is that of the trials' Sharpe ratios; both are per period. One trial or fewer: 0.

    Raises:
        SelectionError: the variance is negative or the number of trials below 1.
    """
    if not variance >= 0.0 or not n_trials >= 1.0:
        raise SelectionError(
            f"expected a variance >= 0 and at least 1 trial, found {variance!r} and {n_trials!r} trials"
        )
    if n_trials == 1.0:
        return 0.0
    gamma = float(np.euler_gamma)
    high, higher = ndtri(1.0 - 1.0 / n_trials), ndtri(1.0 - 1.0 / (n_trials * math.e))
    # Between 1 and 2 trials (an effective number may be) the approximation falls below 0, which a maximum cannot.
    return math.sqrt(variance) * max(0.0, float((1.0 - gamma) * high + gamma * higher))


def effective_trials(trials: Trials) -> float:
    """Return the number of independent trials that these count for: r + (1 - r) N, r their average correlation.

    Trials that are copies of each other count as 1, uncorrelated ones as N; a negative average counts as 0.
    """
    if trials.n == 1:
        return 1.0
    # The sum of all correlations is the squared length of the sum of standardised returns: O(T N), no [N, N] matrix.
    total = np.zeros(trials.periods)
    for part in column_chunks(trials.returns):
        total += ((part - part.mean(axis=0)) / part.std(axis=0)).sum(axis=1)
    n = trials.n
    average = (float(total @ total) / trials.periods - n) / (n * (n - 1))
    average = min(max(average, 0.0), 1.0)
    return average + (1.0 - average) * n


def deflated_sharpe(best: SharpeEstimate, variance: float, n_trials: float) -> float | None:
    """Return the published deflated Sharpe ratio: the probabilistic Sharpe of `best` against the expected maximum.

    `variance` is that of the Sharpe ratios (per period) over all trials. None where the standard error is 0.

    Raises:
        SelectionError: the variance is negative or the number of trials below 1.
    """
    return best.probability_above(expected_maximum_sharpe(variance, n_trials))


def sidak_p_value(p_value: float, n_trials: float) -> float:
    """Return 1 - (1 - p)^N: the probability that the smallest of N independent p-values is at most `p_value`.

    Raises:
        SelectionError: the p-value is not in [0, 1] or the number of trials below 1.
    """
    if not 0.0 <= p_value <= 1.0 or not n_trials >= 1.0:
        raise SelectionError(
            f"expected a p-value in [0, 1] and at least 1 trial, found {p_value!r}, {n_trials!r}"
        )
    return 1.0 if p_value == 1.0 else -math.expm1(n_trials * math.log1p(-p_value))
