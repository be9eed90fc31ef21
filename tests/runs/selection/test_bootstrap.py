"""The stationary bootstrap: block lengths, resamples and the variance of their mean, against closed forms."""

import numpy as np
import pytest

from runs.selection import SelectionError
from runs.selection.bootstrap import (
    block_length,
    mean_variance,
    resample_rows,
    row_counts,
    typical_block_length,
)


def autoregression(rho, periods, seed):
    values, noise = np.zeros(periods), np.random.default_rng(seed).standard_normal(periods)
    for t in range(1, periods):
        values[t] = rho * values[t - 1] + noise[t]
    return values


def test_block_length_of_an_autoregression_has_a_closed_form():
    # Politis and White (2004) with d = 2 sigma^4: (2 rho / (1 - rho^2))^(2/3) T^(1/3).
    found = np.mean([block_length(autoregression(0.5, 20_000, seed)) for seed in range(5)])
    assert found == pytest.approx((2 * 0.5 / (1 - 0.25)) ** (2 / 3) * 20_000 ** (1 / 3), rel=0.15)


def test_independent_and_constant_returns_have_short_blocks():
    noise = np.random.default_rng(0).standard_normal((5_000, 100))
    assert 1.0 <= typical_block_length(noise, np.zeros(5_000)) < 2.5
    assert block_length(np.ones(50)) == 1.0
    assert block_length(np.array([1.0, 2.0, 4.0])) >= 1.0


def test_blocks_go_on_in_a_circle_and_have_the_mean_length():
    rows = np.concatenate(list(resample_rows(1_000, 8.0, 200, np.random.default_rng(1))))
    assert rows.shape == (200, 1_000)
    goes_on = (np.diff(rows, axis=1) % 1_000 == 1).mean()
    # A block goes on with probability 1 - 1/8; a new one continues the old by chance once in 1,000.
    assert goes_on == pytest.approx(7 / 8 + 1 / 8_000, abs=0.003)
    assert np.bincount(rows.ravel(), minlength=1_000).mean() == 200


def test_resamples_do_not_depend_on_the_chunks():
    one, other = (
        np.concatenate(list(resample_rows(50, 3.0, 40, np.random.default_rng(2), width=width)))
        for width in (1, 300_000)
    )
    assert len(list(resample_rows(50, 3.0, 40, np.random.default_rng(2), width=300_000))) > 1
    assert np.array_equal(one, other)


def test_counts_times_returns_are_the_sums_of_the_resamples():
    returns = np.random.default_rng(5).standard_normal((30, 4))
    rows = np.concatenate(list(resample_rows(30, 4.0, 25, np.random.default_rng(6))))
    counts = np.concatenate(list(row_counts(30, 4.0, 25, np.random.default_rng(6))))
    assert counts @ returns == pytest.approx(returns[rows].sum(axis=1))


@pytest.mark.parametrize("periods", [60, 61])
def test_the_variance_of_the_mean_has_the_closed_form_of_politis_and_romano(periods):
    # Lemma 1: C(0) + 2 sum over lags i of (1 - i / T) (1 - p)^i C(i), with circular autocovariances C and p = 1 / 5.
    returns = np.stack([autoregression(0.5, periods, 1), autoregression(-0.4, periods, 2)], axis=1)
    centred = returns - returns.mean(axis=0)
    covariance = [np.mean(centred * np.roll(centred, -lag, axis=0), axis=0) for lag in range(periods)]
    expected = covariance[0] + 2 * sum(
        (1 - lag / periods) * 0.8**lag * covariance[lag] for lag in range(1, periods)
    )
    assert mean_variance(returns, 5.0) == pytest.approx(expected)
    counts = np.concatenate(list(row_counts(periods, 5.0, 5_000, np.random.default_rng(3))))
    assert periods * (counts @ returns / periods).var(axis=0) == pytest.approx(expected, rel=0.08)


def test_with_blocks_of_one_the_variance_is_that_of_the_returns():
    returns = np.random.default_rng(0).standard_normal((101, 3)) + 5.0
    assert mean_variance(returns, 1.0) == pytest.approx(returns.var(axis=0))


@pytest.mark.parametrize(("block", "resamples"), [(0.5, 10), (float("nan"), 10), (2.0, 0)])
def test_impossible_resamples_are_errors(block, resamples):
    with pytest.raises(SelectionError, match="expected a block"):
        next(resample_rows(10, block, resamples, np.random.default_rng(0)))
