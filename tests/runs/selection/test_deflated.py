"""The deflated Sharpe ratio: the paper's example, the expected maximum, the effective number of trials."""

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import ndtr

from runs.selection import (
    SelectionError,
    SharpeEstimate,
    Trials,
    deflated_sharpe,
    effective_trials,
    expected_maximum_sharpe,
    sidak_p_value,
)

# Bailey and Lopez de Prado (2014), section "A numerical example": 1,250 daily returns, annual Sharpe 2.5 (250 days),
# annual variance of the trials' Sharpe ratios 1/2, skew -3, kurtosis 10.
VARIANCE = 0.5 / 250
BEST = {"sharpe": 2.5 / math.sqrt(250), "periods": 1250}


def test_the_numerical_example_of_the_paper():
    best = SharpeEstimate(**BEST, skew=-3.0, kurtosis=10.0)
    assert expected_maximum_sharpe(VARIANCE, 100) == pytest.approx(0.1132, abs=5e-5)
    assert deflated_sharpe(best, VARIANCE, 100) == pytest.approx(0.9004, abs=1e-4)
    assert deflated_sharpe(best, VARIANCE, 46) == pytest.approx(0.9505, abs=1e-4)
    assert deflated_sharpe(SharpeEstimate(**BEST), VARIANCE, 88) == pytest.approx(0.9505, abs=1e-4)


@pytest.mark.parametrize("n", [5, 20, 100, 1_000])
def test_the_expected_maximum_is_near_the_exact_one(n):
    # E[max] = integral of 1 - F^n over the positive axis minus that of F^n over the negative one.
    exact = quad(lambda x: 1 - ndtr(x) ** n, 0, 12)[0] - quad(lambda x: ndtr(x) ** n, -12, 0)[0]
    assert expected_maximum_sharpe(1.0, n) == pytest.approx(exact, rel=0.03)
    assert expected_maximum_sharpe(4.0, n) == 2 * expected_maximum_sharpe(1.0, n)


def test_one_trial_is_not_deflated():
    best = SharpeEstimate(sharpe=0.1, periods=300)
    assert expected_maximum_sharpe(VARIANCE, 1) == 0.0
    assert expected_maximum_sharpe(VARIANCE, 1.1) == 0.0
    assert deflated_sharpe(best, 0.0, 1) == best.probability_above(0.0)


def test_more_trials_or_more_spread_between_them_deflate_more():
    best = SharpeEstimate(**BEST)
    by_trials = [deflated_sharpe(best, VARIANCE, n) for n in (1, 2, 10, 100, 1_000)]
    by_spread = [deflated_sharpe(best, VARIANCE * k, 100) for k in (0, 1, 2, 4)]
    assert by_trials == sorted(by_trials, reverse=True)
    assert by_spread == sorted(by_spread, reverse=True)


def test_effective_trials_of_copies_groups_and_independent_trials():
    rng = np.random.default_rng(0)
    base = rng.standard_normal((2_000, 40))
    one = Trials.of(np.repeat(base[:, :1], 10, axis=1) * np.arange(1, 11) + 0.3)
    assert effective_trials(one) == pytest.approx(1.0)
    assert effective_trials(Trials.of(base)) == pytest.approx(40, abs=0.6)
    assert effective_trials(Trials.of(base[:, :1])) == 1.0
    # r + (1 - r) N with r the mean of the off-diagonal correlations, from the correlation matrix itself.
    mixed = base + 0.7 * rng.standard_normal((2_000, 1))
    correlation = np.corrcoef(mixed, rowvar=False)
    average = correlation[~np.eye(40, dtype=bool)].mean()
    assert effective_trials(Trials.of(mixed)) == pytest.approx(average + (1 - average) * 40)


def test_trials_that_are_each_other_s_opposite_count_in_full():
    half = np.random.default_rng(0).standard_normal((500, 5))
    assert effective_trials(Trials.of(np.hstack([half, -half]))) == 10


def test_sidak_is_the_chance_of_the_smallest_of_independent_p_values():
    assert sidak_p_value(0.05, 1) == pytest.approx(0.05)
    assert sidak_p_value(0.5, 3) == pytest.approx(0.875)
    assert sidak_p_value(1e-12, 100) == pytest.approx(1e-10)
    assert sidak_p_value(1.0, 3) == 1.0


@pytest.mark.parametrize(
    "call",
    [
        lambda: expected_maximum_sharpe(-1.0, 5),
        lambda: expected_maximum_sharpe(1.0, 0),
        lambda: expected_maximum_sharpe(math.nan, 5),
        lambda: sidak_p_value(1.2, 5),
        lambda: sidak_p_value(0.1, math.nan),
    ],
)
def test_impossible_arguments_are_errors(call):
    with pytest.raises(SelectionError, match="expected a"):
        call()
