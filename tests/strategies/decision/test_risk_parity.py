"""Covariance and equal risk weights, against closed forms and scikit-learn."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.covariance import ledoit_wolf

from strategies.decision import TrailingReturns, equal_risk_weights, shrunk_covariance


def test_without_gaps_it_is_ledoit_wolf_on_standardised_returns():
    rng = np.random.default_rng(1)
    returns = rng.standard_normal((60, 5)) @ rng.standard_normal((5, 5)) * [0.01, 0.02, 0.03, 0.01, 0.5]
    std = returns.std(axis=0)
    shrunk, shrinkage = ledoit_wolf((returns - returns.mean(axis=0)) / std)
    assert 0.0 < shrinkage < 1.0
    np.testing.assert_allclose(shrunk_covariance(returns), shrunk * np.outer(std, std), rtol=1e-10)


def test_the_shrunk_covariance_by_its_formula():
    """Ledoit and Wolf's closed form: S, its distance to the identity, and the error of S, written out."""
    returns = np.random.default_rng(2).standard_normal((40, 3))
    z = (returns - returns.mean(axis=0)) / returns.std(axis=0)
    sample = z.T @ z / 40
    distance = ((sample - np.eye(3)) ** 2).sum()
    error = sum(((np.outer(row, row) - sample) ** 2).sum() for row in z) / 40**2
    shrinkage = min(error, distance) / distance
    std = returns.std(axis=0)
    expected = ((1 - shrinkage) * sample + shrinkage * np.eye(3)) * np.outer(std, std)
    np.testing.assert_allclose(shrunk_covariance(returns), expected, rtol=1e-10)


def test_variances_are_those_of_the_known_returns():
    returns = np.array([[0.01, math.nan], [-0.01, math.nan], [0.01, 0.02], [-0.01, -0.02]])
    np.testing.assert_allclose(np.diag(shrunk_covariance(returns)), [1e-4, 4e-4])


def test_a_symbol_without_two_returns_or_without_moves_has_no_variance():
    returns = np.array([[0.01, math.nan, 0.0], [-0.02, 0.5, 0.0], [0.01, math.nan, 0.0]])
    found = shrunk_covariance(returns)
    assert found[0, 0] > 0.0
    assert (found[1:] == 0.0).all()
    assert shrunk_covariance(np.empty((0, 2))).tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_uncorrelated_symbols_are_weighted_by_the_inverse_volatility():
    assert equal_risk_weights(np.diag([0.01, 0.04, 0.16])) == pytest.approx([4 / 7, 2 / 7, 1 / 7])


def test_two_symbols_are_weighted_by_the_inverse_volatility_whatever_their_correlation():
    for correlation in (-0.9, 0.0, 0.6, 0.99):
        covariance = np.array([[0.04, 0.08 * correlation], [0.08 * correlation, 0.16]])
        assert equal_risk_weights(covariance) == pytest.approx([2 / 3, 1 / 3])


def test_a_symbol_without_variance_has_the_weight_nought():
    assert equal_risk_weights(np.diag([0.04, 0.0, math.nan])).tolist() == [1.0, 0.0, 0.0]
    assert equal_risk_weights(np.zeros((2, 2))).tolist() == [0.0, 0.0]


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), n=st.integers(1, 40))
def test_each_symbol_has_the_same_part_of_the_variance(seed, n):
    rng = np.random.default_rng(seed)
    factors = rng.standard_normal((n, 3))
    scale = 10 ** rng.uniform(-3, 1, n)
    covariance = (factors @ factors.T + 0.05 * np.eye(n)) * np.outer(scale, scale)
    weights = equal_risk_weights(covariance)
    assert weights.sum() == pytest.approx(1.0)
    assert (weights > 0.0).all()
    shares = weights * (covariance @ weights) / (weights @ covariance @ weights)
    np.testing.assert_allclose(shares, 1.0 / n, rtol=1e-8)


def test_trailing_returns_carry_the_price_of_a_symbol_without_a_bar():
    trailing = TrailingReturns(2, 3)
    for clock, closes in enumerate(
        ([(0, 1.0)], [(0, math.e), (1, 1.0)], [(0, math.e)], [(0, 1.0), (1, math.e)], [])
    ):
        trailing.add(float(clock), closes)
    found = trailing.of([0, 1])
    np.testing.assert_allclose(found[:, 0], [1.0, 0.0, -1.0])
    np.testing.assert_allclose(found[:, 1], [math.nan, 0.0, 1.0])
    trailing.add(9.0, [(1, 1.0)])
    np.testing.assert_allclose(trailing.of([1])[:, 0], [0.0, 1.0, -1.0], err_msg="the window moves on")


def test_the_parts_of_one_close_are_one_row():
    trailing = TrailingReturns(2, 5)
    trailing.add(1.0, [(0, 1.0), (1, 1.0)])
    trailing.add(2.0, [(0, math.e)])
    trailing.add(2.0, [(1, math.e)])
    assert trailing.of([0, 1]).tolist() == [[1.0, 1.0]]
    assert TrailingReturns(2, 5).of([0, 1]).shape == (0, 2)
