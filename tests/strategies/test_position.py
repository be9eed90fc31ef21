"""Position rules are registered functions; exposure limit, filters and band apply to every rule."""

import math

import pytest

from strategies import Rules, decide, register_position_rule
from strategies.decision import POSITION_RULES, needs_tails
from tests.strategies.test_decision import CALM

SEEN = CALM._replace(score=0.4, confidence=0.9, score_std=0.1)


@pytest.fixture
def rule():
    """Return rules whose position rule is the function given."""

    def make(function, **changes):
        register_position_rule("own")(function)
        return Rules(position_rule="own", **changes)

    yield make
    POSITION_RULES.remove("own")


def test_the_default_scales_the_signal_to_the_target_volatility():
    # 0.3 / 0.6 of the capital has the target volatility, and the signal scales that by 0.8.
    assert decide(Rules(), SEEN) == (pytest.approx(0.4), "trade")
    assert decide(Rules(position_rule="confidence"), SEEN) == decide(Rules(), SEEN)


def test_a_rule_of_ones_own_sees_the_rules_and_the_facts(rule):
    rules = rule(lambda rules, seen: -rules.max_exposure * seen.confidence / 2, max_exposure=2.0)
    assert decide(rules, SEEN) == (pytest.approx(-0.9), "trade")


def test_the_largest_exposure_the_band_and_the_filters_hold_for_every_rule(rule):
    rules = rule(lambda rules, seen: 5.0, max_exposure=1.5)
    assert decide(rules, SEEN).target == 1.5
    POSITION_RULES.remove("own")
    assert decide(rule(lambda rules, seen: -5.0, max_exposure=1.5), SEEN).target == -1.5
    assert decide(rules, SEEN._replace(exposure=-1.4)) == (-1.4, "hold")
    assert decide(rules, SEEN._replace(bars_since_fill=1.0)) == (0.0, "cooldown")
    assert decide(rules, SEEN._replace(density_rank=0.01)) == (0.0, "out_of_distribution")


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_a_rule_that_returns_no_number_is_named(rule, wrong):
    with pytest.raises(ValueError, match="position_rule 'own': expected a finite exposure, found"):
        decide(rule(lambda rules, seen: wrong), SEEN)


def test_an_unknown_rule_is_answered_with_a_known_one():
    with pytest.raises(
        ValueError, match=r"position_rule: expected one of confidence.*did you mean 'confidence'\?"
    ):
        Rules(position_rule="confidense")


# Expected return over risk -------------------------------------------------------------------------------------

FORWARD = CALM._replace(expected_return=0.002, return_std=0.04, lower_tail=-0.1, upper_tail=0.09)
PLAIN = {"target_volatility": None, "rebalance_band": 0.0, "cooldown": 0}


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_kelly_is_the_fraction_of_mean_over_variance(sign):
    seen = FORWARD._replace(expected_return=sign * 0.002)
    # 0.25 x 0.002 / 0.0016
    assert decide(Rules(position_rule="kelly", **PLAIN), seen).target == pytest.approx(sign * 0.3125)
    more = Rules(position_rule="kelly", kelly_fraction=0.5, **PLAIN)
    assert decide(more, seen).target == pytest.approx(sign * 0.625)
    assert decide(Rules(position_rule="kelly", **{**PLAIN, "max_exposure": 0.2}), seen).target == sign * 0.2


def test_kelly_goes_by_the_mean_even_where_the_score_has_the_other_sign():
    seen = FORWARD._replace(score=-0.2, signal=-0.8)
    assert decide(Rules(position_rule="kelly", **PLAIN), seen).target > 0
    assert decide(Rules(position_rule="confidence", **PLAIN), seen).target < 0


@pytest.mark.parametrize("rule", ["kelly", "cvar"])
def test_the_target_volatility_is_an_upper_limit(rule):
    seen = FORWARD._replace(expected_return=0.02, annual_volatility=0.6)
    rules = {**PLAIN, "position_rule": rule}
    assert decide(Rules(**rules), seen).target == 1.0
    assert decide(Rules(**{**rules, "target_volatility": 0.3}), seen).target == 0.5
    small = seen._replace(expected_return=0.0002)
    assert decide(Rules(**{**rules, "target_volatility": 0.3}), small) == decide(Rules(**rules), small)


@pytest.mark.parametrize("mean", [0.003, -0.003])
def test_cvar_is_kelly_for_a_gaussian_and_smaller_where_the_losing_tail_is_fat(mean):
    # The mean beyond the 5 % quantile of N(m, s) is m -+ s phi(1.6449) / 0.05.
    reach = 0.04 * math.exp(-(1.6448536269514722**2) / 2) / math.sqrt(2 * math.pi) / 0.05
    gaussian = FORWARD._replace(expected_return=mean, lower_tail=mean - reach, upper_tail=mean + reach)
    kelly, cvar = (Rules(position_rule=name, **PLAIN) for name in ("kelly", "cvar"))
    assert decide(cvar, gaussian).target == pytest.approx(decide(kelly, gaussian).target, rel=1e-12)
    losing, winning = ("lower_tail", "upper_tail") if mean > 0 else ("upper_tail", "lower_tail")
    fat = {losing: mean - 2 * reach if mean > 0 else mean + 2 * reach}
    assert decide(cvar, gaussian._replace(**fat)).target == pytest.approx(decide(cvar, gaussian).target / 4)
    assert decide(cvar, gaussian._replace(**{winning: 9.0 * mean})) == decide(cvar, gaussian)


@pytest.mark.parametrize("rule", ["kelly", "cvar"])
def test_without_a_known_risk_there_is_no_position(rule):
    rules = Rules(position_rule=rule, **PLAIN)
    for risk in (0.0, math.nan):
        seen = FORWARD._replace(return_std=risk, lower_tail=risk and -risk, upper_tail=risk)
        seen = seen._replace(expected_return=0.0) if rule == "cvar" else seen
        assert decide(rules, seen).target == 0.0


@pytest.mark.parametrize("rule", ["confidence", "kelly", "cvar"])
def test_the_score_variance_reduces_every_rule(rule):
    seen = FORWARD._replace(score=0.2, score_std=0.2)
    plain, scaled = (Rules(position_rule=rule, score_variance_scaling=k, **PLAIN) for k in (0.0, 1.0))
    assert decide(scaled, seen).target == pytest.approx(decide(plain, seen).target / 2)


def test_a_rule_says_whether_it_reads_the_tails(rule):
    rule(lambda rules, seen: 0.0)
    assert [needs_tails(name) for name in ("confidence", "kelly", "cvar", "own")] == [
        False,
        False,
        True,
        False,
    ]


# Steps and the band of costs ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "step", "limit", "target"),
    [
        (0.34, 0.1, 1.0, 0.3),
        (-0.36, 0.1, 1.0, -0.4),
        (0.04, 0.1, 1.0, 0.0),
        (0.98, 0.1, 0.95, 0.9),
        (0.9, 0.1, 0.3, 0.3),
        (0.2, 0.5, 0.3, 0.0),
        (0.1234, 0.0, 1.0, 0.1234),
    ],
)
def test_a_step_rounds_to_the_nearest_multiple_within_the_largest_exposure(rule, wanted, step, limit, target):
    rules = rule(lambda rules, seen: wanted, exposure_step=step, **{**PLAIN, "max_exposure": limit})
    assert decide(rules, SEEN._replace(exposure=0.05)).target == pytest.approx(target)


def test_a_change_is_traded_only_if_it_earns_more_than_its_cost():
    # Utility of f over the horizon: 0.002 f - 0.0016 f^2 / (2 x 0.25), largest at 0.3125.
    def gain(before, after):
        return 0.002 * (after - before) - 0.0032 * (after**2 - before**2)

    for before in (0.0, 0.2, 0.29, 0.5, -0.1):
        rules = Rules(position_rule="kelly", cost_band=1.0, **PLAIN)
        worth = gain(before, 0.3125) / abs(0.3125 - before)
        for cost, reason in ((worth * 0.999, "trade"), (worth * 1.001, "hold")):
            decision = decide(rules, FORWARD._replace(exposure=before, cost=cost))
            assert decision.reason == reason
            assert decision.target == (before if reason == "hold" else pytest.approx(0.3125))


def test_the_band_of_costs_is_off_without_a_factor_or_a_cost():
    near = FORWARD._replace(exposure=0.3124, cost=0.01)
    assert decide(Rules(position_rule="kelly", **PLAIN), near).reason == "trade"
    assert (
        decide(Rules(position_rule="kelly", cost_band=9.0, **PLAIN), near._replace(cost=0.0)).reason
        == "trade"
    )


def test_the_band_of_costs_never_keeps_what_a_filter_closes():
    rules = Rules(position_rule="kelly", cost_band=9.0, **PLAIN)
    seen = FORWARD._replace(exposure=0.3, cost=1.0, density_rank=0.01)
    assert decide(rules, seen) == (0.0, "out_of_distribution")


def test_the_band_of_costs_is_of_a_symbols_part():
    rules = Rules(position_rule="kelly", cost_band=1.0, **PLAIN)
    alone = FORWARD._replace(exposure=0.2, cost=0.0003)
    one_of_four = alone._replace(exposure=0.05, symbols=4)
    assert decide(rules, alone).reason == decide(rules, one_of_four).reason == "trade"
    assert decide(rules, one_of_four).target == pytest.approx(decide(rules, alone).target / 4)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"kelly_fraction": 0.0}, "kelly_fraction: expected a positive number"),
        ({"kelly_fraction": math.inf}, "kelly_fraction: expected a positive number"),
        ({"forecast_window": 2.5}, "forecast_window: expected a whole number of bars"),
        ({"forecast_window": -1}, "forecast_window: expected a number at least 0"),
        ({"close_quantile": 1.5}, "close_quantile: expected a number between 0 and 1"),
        ({"exposure_step": -0.1}, "exposure_step: expected a number at least 0"),
        ({"cost_band": math.nan}, "cost_band: expected a number at least 0"),
    ],
)
def test_impossible_values_are_named(changes, told):
    with pytest.raises(ValueError, match=told):
        Rules(**changes)
