"""Forecasts held for their horizon: the mean over the window, refused and missing bars, the start."""

import math

import pytest

from strategies import Rules
from strategies.decision import REASONS, Forecast, HeldForecasts, choose, confidence, forecast_of
from strategies.decision.reasons import LOW_CONFIDENCE, OUT_OF_DISTRIBUTION, TRADE
from tests.strategies.test_decision import CALM

RULES = Rules(
    target_volatility=None,
    confidence_threshold=0.2,
    density_quantile=0.05,
    close_quantile=0.01,
    rebalance_band=0.0,
    cooldown=0,
    forecast_window=4,
)


def exposures(window, values, start=0.0, step=1.0):
    held = HeldForecasts(window)
    return [
        held.add(Forecast(value, value, value / 10, TRADE), start + bar * step, step).exposure
        for bar, value in enumerate(values)
    ]


def test_exposure_grows_in_and_is_the_mean_of_the_last_bars():
    assert exposures(4, [0.8, 0.8, 0.8, 0.8, 0.4, -0.4]) == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.7, 0.4])


def test_the_mean_depends_on_the_bars_of_the_window_only():
    late = exposures(3, [0.1 * bar for bar in range(50)])[-1]
    assert late == exposures(3, [4.7000000000000002, 4.800000000000001, 4.9])[-1]


def test_time_without_bars_counts_as_zero():
    held = HeldForecasts(4)
    for clock in (0.0, 1.0, 2.0, 3.0):
        held.add(Forecast(0.8, 0.8, 0.01, TRADE), clock, 1.0)
    assert held.add(Forecast(0.8, 0.8, 0.01, TRADE), 6.0, 1.0).exposure == pytest.approx(0.4)
    assert held.add(Forecast(0.8, 0.8, 0.01, TRADE), 500.0, 1.0).exposure == pytest.approx(0.2)


def test_what_a_filter_refuses_counts_as_zero_but_is_kept_unfiltered():
    held, found = HeldForecasts(2), []
    for clock, rank, sure in ((0.0, 0.5, 0.9), (1.0, 0.03, 0.9), (2.0, 0.5, 0.1)):
        seen = CALM._replace(density_rank=rank, confidence=sure, expected_return=0.02)
        found.append(held.add(forecast_of(RULES, seen, confidence), clock, 1.0))
    assert found[0] == pytest.approx((0.4, 0.4, 0.01, TRADE))
    assert found[1] == pytest.approx((0.4, 0.8, 0.01, OUT_OF_DISTRIBUTION))
    assert found[2] == pytest.approx((0.0, 0.8, 0.0, LOW_CONFIDENCE))


@pytest.mark.parametrize("unknown", [{"signal": math.nan}, {"density_rank": math.nan}, {"silent": True}])
def test_without_a_forecast_nothing_is_wanted(unknown):
    forecast = forecast_of(RULES, CALM._replace(**unknown), confidence)
    assert (forecast.exposure, forecast.expected_return) == (0.0, 0.0)
    assert math.isnan(forecast.unfiltered)
    assert HeldForecasts(2).add(forecast, 0.0, 1.0).unfiltered == 0.0


def decided(rank, rules=RULES, earlier=0.8):
    """Return target and reason of a bar of this rank after three bars that asked for `earlier`."""
    held = HeldForecasts(4)
    for clock in range(3):
        held.add(Forecast(earlier, earlier, 0.0, TRADE), clock, 1.0)
    seen = CALM._replace(density_rank=rank, exposure=0.1)
    target, code = choose(rules, seen, held.add(forecast_of(rules, seen, confidence), 3, 1.0))
    return pytest.approx(target), REASONS[code]


def test_novelty_has_two_levels_one_refuses_a_forecast_and_a_lower_one_closes():
    assert decided(0.5) == (0.8, "trade")
    assert decided(0.05) == (0.8, "trade")
    for rank in (0.049, 0.01):
        assert decided(rank) == (0.6, "reduced"), "one unfamiliar bar takes only its own quarter"
    assert decided(0.0099) == (0.0, "out_of_distribution")


def test_scaling_by_the_present_rank_begins_at_the_rank_that_closes():
    from dataclasses import replace

    rules = replace(RULES, novelty_scaling=0.1)
    assert decided(0.06, rules)[0] == 0.8 * (0.06 - 0.01) / 0.1
    assert decided(0.03, rules)[0] == 0.6 * (0.03 - 0.01) / 0.1
    assert decided(0.2, rules)[0] == 0.8


def test_a_window_of_refused_forecasts_names_the_filter():
    assert decided(0.03, earlier=0.0) == (0.0, "out_of_distribution")


def test_the_horizon_of_the_model_is_the_window_that_is_not_set():
    for unset in (None, 0):
        assert Rules(forecast_window=unset).for_horizon(24).forecast_window == 24
    assert Rules().for_horizon(24).forecast_window == 1
