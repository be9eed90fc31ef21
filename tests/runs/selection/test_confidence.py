"""Bootstrap intervals: figures as in metrics.json, and limits that hold the true value as often as they say."""

import numpy as np
import pytest

from runs.selection import SelectionError, intervals
from strategies.analyzers.metrics import performance

RETURNS = 0.01 * np.random.default_rng(1).standard_normal(500) + 0.001


def test_the_figures_are_those_of_metrics_json():
    equity = 100.0 * np.cumprod(np.concatenate(([1.0], 1.0 + RETURNS)))
    expected = performance(equity, 365.0)
    for name, interval in intervals(RETURNS, 365.0, resamples=200).items():
        assert interval.value == pytest.approx(expected[name])
        assert interval.low < interval.value < interval.high
        assert (interval.high < 0.0) is (name == "max_drawdown")


def test_the_interval_of_the_sharpe_has_the_width_of_its_standard_error():
    # Independent normal returns: SR +- 1.96 sqrt((1 + SR^2 / 2) / T).
    found = intervals(RETURNS, 1.0, block=1.0, resamples=2_000)["sharpe_ratio"]
    width = 2 * 1.96 * ((1 + found.value**2 / 2) / 500) ** 0.5
    assert found.high - found.low == pytest.approx(width, rel=0.07)


def test_the_interval_holds_the_true_sharpe_as_often_as_it_says():
    held = 0
    for seed in range(100):
        returns = np.random.default_rng(seed).standard_normal(100) + 0.1
        found = intervals(returns, 1.0, confidence=0.9, resamples=149, seed=seed)["sharpe_ratio"]
        held += found.low <= 0.1 <= found.high
    assert 0.81 <= held / 100 <= 0.99  # 0.9 +- 3 standard errors


def test_dependent_returns_have_wider_intervals_of_the_annual_return():
    noise = np.random.default_rng(2).standard_normal(800)
    trending = 0.001 * np.convolve(noise, np.ones(10), "same")
    blocks, rows = (
        intervals(trending, 365.0, block=block, resamples=300)["annual_return"] for block in (None, 1.0)
    )
    assert blocks.high - blocks.low > 1.5 * (rows.high - rows.low)


def test_ruin_is_a_return_and_a_drawdown_of_minus_one():
    returns = RETURNS.copy()
    returns[250] = -1.0
    found = intervals(returns, 365.0, resamples=200)
    assert found["annual_return"].value == found["max_drawdown"].value == -1.0
    assert found["max_drawdown"].low == -1.0


@pytest.mark.parametrize(
    ("returns", "changes", "message"),
    [
        (RETURNS, {"confidence": 1.0}, "confidence"),
        (RETURNS, {"resamples": 20}, "at least 99"),
        (np.zeros(40), {}, "never vary"),
        (RETURNS[:2], {}, "at least 3"),
    ],
)
def test_impossible_arguments_are_errors(returns, changes, message):
    with pytest.raises(SelectionError, match=message):
        intervals(returns, 365.0, **changes)
