"""Figures of one track record, against the examples that the papers print."""

import math

import numpy as np
import pytest

from runs.selection import SelectionError, SharpeEstimate


def test_probabilistic_sharpe_of_the_paper():
    # Bailey and Lopez de Prado (2012): 24 monthly returns, mean 0.036, deviation 0.079, skew -2.448, kurtosis 10.164.
    # The paper prints a PSR of 0.982 for normal returns and 0.913 with the moments.
    normal = SharpeEstimate(sharpe=0.458, periods=24)
    skewed = SharpeEstimate(sharpe=0.458, periods=24, skew=-2.448, kurtosis=10.164)
    assert normal.probability_above() == pytest.approx(0.982, abs=5e-4)
    assert skewed.probability_above() == pytest.approx(0.913, abs=5e-4)


@pytest.mark.parametrize(
    ("per_year", "skew", "kurtosis", "years"),
    [(252, 0.0, 3.0, 2.73), (52, 0.0, 3.0, 2.83), (12, 0.0, 3.0, 3.24), (12, -0.72, 5.78, 4.99)],
)
def test_minimum_track_record_of_the_paper(per_year, skew, kurtosis, years):
    # The same paper: years after which an annual Sharpe of 2 is above 1 with 95 % confidence.
    found = SharpeEstimate(sharpe=2 / math.sqrt(per_year), periods=100, skew=skew, kurtosis=kurtosis)
    assert found.minimum_length(1 / math.sqrt(per_year)) / per_year == pytest.approx(years, abs=5e-3)


def test_at_the_minimum_length_the_probability_is_the_confidence():
    found = SharpeEstimate(sharpe=0.1, periods=500, skew=-1.0, kurtosis=8.0)
    enough = found.minimum_length(0.02, confidence=0.9)
    there = SharpeEstimate(sharpe=0.1, periods=round(enough), skew=-1.0, kurtosis=8.0)
    assert there.probability_above(0.02) == pytest.approx(0.9, abs=1e-3)


def test_moments_by_hand():
    # Sums written out, without numpy.
    values = [3.0, 1.0, 0.0, 4.0, -3.0]
    mean = sum(values) / 5
    second, third, fourth = (sum((v - mean) ** k for v in values) / 5 for k in (2, 3, 4))
    found = SharpeEstimate.of(np.array(values))
    assert found.sharpe == pytest.approx(mean / math.sqrt(second * 5 / 4))
    assert found.skew == pytest.approx(third / second**1.5)
    assert found.kurtosis == pytest.approx(fourth / second**2)


def test_the_standard_error_is_the_spread_of_estimates_of_skewed_returns():
    # 4,000 histories of 400 shifted exponential returns (skew 2, kurtosis 9) with a true Sharpe of 0.3.
    draws = np.random.default_rng(1).exponential(size=(4_000, 400)) - 0.7
    spread = np.std(draws.mean(axis=1) / draws.std(axis=1, ddof=1))
    expected = SharpeEstimate(sharpe=0.3, periods=400, skew=2.0, kurtosis=9.0).standard_error
    assert spread == pytest.approx(expected, rel=0.04)
    assert spread < 0.85 * SharpeEstimate(sharpe=0.3, periods=400).standard_error


def test_no_track_record_is_long_enough_below_the_benchmark():
    assert SharpeEstimate(sharpe=-0.1, periods=50).minimum_length() is None
    assert SharpeEstimate(sharpe=0.1, periods=50).minimum_length(0.1) is None


def test_returns_of_two_values_may_have_no_error_and_then_no_probability():
    # Skew s, kurtosis 1 + s^2 and a Sharpe of 2 / s: the spread 1 - s SR + s^2 SR^2 / 4 is (1 - s SR / 2)^2 = 0.
    found = SharpeEstimate(sharpe=1.0, periods=10, skew=2.0, kurtosis=5.0)
    assert found.standard_error == 0.0
    assert found.probability_above() is None


@pytest.mark.parametrize(
    ("returns", "message"),
    [
        ([0.1, 0.2], "at least 3 periods"),
        ([0.1, 0.1, 0.1], "never vary"),
        ([0.1, np.nan, 0.2], "found nan at period 1"),
        ([[0.1, 0.2, 0.3]], r"shape \(1, 3\)"),
    ],
)
def test_returns_without_a_sharpe_are_errors(returns, message):
    with pytest.raises(SelectionError, match=message):
        SharpeEstimate.of(returns)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"periods": 2}, "at least 3"),
        ({"sharpe": math.nan}, "finite"),
        ({"kurtosis": 0.0}, "not the excess"),
        ({"skew": 2.0}, r"1 \+ skew\^2 = 5"),
    ],
)
def test_impossible_moments_are_errors(values, message):
    with pytest.raises(SelectionError, match=message):
        SharpeEstimate(**{"sharpe": 0.1, "periods": 100} | values)


def test_a_confidence_below_one_half_is_an_error():
    with pytest.raises(SelectionError, match=r"from 0\.5"):
        SharpeEstimate(sharpe=0.1, periods=9).minimum_length(confidence=0.05)
