"""All figures of a search in one call, and the sentence about them."""

import json
import math
from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pytest

from runs.selection import SelectionError, SharpeEstimate, assess, verdict
from strategies.analyzers.metrics import sharpe_ratio

HOURS = 24 * 365.0
LUCK = 0.01 * np.random.default_rng(0).standard_normal((400, 30))
EDGE = LUCK + np.where(np.arange(30) == 12, 0.003, 0.0)
MARKET = 0.01 * np.random.default_rng(1).standard_normal(400) + 0.001


@pytest.fixture(scope="module")
def edge():
    returns = EDGE.copy()
    returns[3, 5] = np.nan
    returns[:, 7] = 0.0
    return assess(returns, HOURS, benchmark=MARKET, resamples=499)


def test_an_edge_is_told_from_luck(edge):
    assert (edge.n_trials, edge.n_failed, edge.n_idle, edge.best) == (30, 1, 1, 12)
    assert edge.against_cash.best == edge.against_benchmark.best == 12
    assert edge.sharpe_ratio == pytest.approx(sharpe_ratio(EDGE[:, 12], HOURS))
    assert verdict(edge) == (
        "The best of 30 trials, 1 failed and 1 never traded, is distinguishable from luck at 5% (annual Sharpe ratio "
        f"{edge.sharpe_ratio:.2f}, SPA p = {edge.against_cash.p_value:.3f}, deflated Sharpe "
        f"{edge.deflated_sharpe:.2f}, probability of overfitting {edge.overfitting.pbo:.2f}); at least one "
        f"trial beats buy-and-hold (SPA p = {edge.against_benchmark.p_value:.3f})."
    )


def test_luck_is_called_luck():
    found = assess(LUCK, HOURS, benchmark=MARKET, resamples=199)
    assert found.probabilistic_sharpe > 0.95  # alone, it would have passed
    said = verdict(found)
    assert said.startswith("The best of 30 trials is not distinguishable from luck at 5% (annual")
    assert "; no trial is shown to beat buy-and-hold (SPA p = " in said


def test_the_level_decides(edge):
    between = replace(edge, against_cash=replace(edge.against_cash, p_value=0.04))
    assert " is distinguishable from luck at 5%" in verdict(between)
    assert " is not distinguishable from luck at 1%" in verdict(between, 0.01)
    with pytest.raises(SelectionError, match="level"):
        verdict(edge, 0.0)


def test_figures_are_plain_json_by_the_names_of_metrics_json(edge):
    found = json.loads(json.dumps(edge.to_dict(), allow_nan=False))
    assert {"n_trials", "deflated_sharpe", "pbo", "spa_p_value_cash", "spa_p_value_benchmark"} < set(found)
    assert found["pbo"] == edge.overfitting.pbo == found["overfitting"]["pbo"]
    assert found["spa_p_value_cash"] == edge.against_cash.p_value
    assert found["intervals"]["sharpe_ratio"]["value"] == pytest.approx(found["sharpe_ratio"])


def test_annual_figures_are_per_period_ones_times_the_root_of_the_periods(edge):
    sharpes = EDGE.mean(axis=0) / EDGE.std(axis=0, ddof=1)
    kept = np.delete(sharpes, [5, 7])
    gamma, n = 0.5772156649, 28
    quantile = NormalDist().inv_cdf
    height = (1 - gamma) * quantile(1 - 1 / n) + gamma * quantile(1 - 1 / (n * math.e))
    assert edge.expected_max_sharpe == pytest.approx(kept.std(ddof=1) * height * math.sqrt(HOURS))
    best = SharpeEstimate.of(EDGE[:, 12])
    below = best.probability_above(edge.expected_max_sharpe / math.sqrt(HOURS))
    assert edge.deflated_sharpe == pytest.approx(below)
    assert edge.minimum_track_record == pytest.approx(best.minimum_length())


def test_one_trial_has_no_choice_to_judge():
    found = assess(EDGE[:, 12:13], HOURS, resamples=199)
    assert (found.effective_trials, found.expected_max_sharpe, found.overfitting) == (1.0, 0.0, None)
    assert found.deflated_sharpe == found.probabilistic_sharpe
    assert found.to_dict()["pbo"] is None
    assert found.to_dict()["spa_p_value_benchmark"] is None
    assert verdict(found).startswith("The only trial is distinguishable from luck at 5% (annual Sharpe ratio")
    assert "deflated" not in verdict(found)


def test_short_histories_have_no_pbo_and_no_silent_number():
    found = assess(LUCK[:5], HOURS, resamples=99)
    assert found.overfitting is None
    assert "overfitting" not in verdict(found)
    assert assess(LUCK[:30], HOURS, resamples=99).overfitting.blocks == 6
    json.dumps(found.to_dict(), allow_nan=False)


@pytest.mark.parametrize("periods", [0.0, math.nan, math.inf])
def test_a_year_has_a_positive_number_of_periods(periods):
    with pytest.raises(SelectionError, match="periods_per_year"):
        assess(LUCK, periods)
