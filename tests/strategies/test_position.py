"""Position rules are registered functions; exposure limit, filters and band apply to every rule."""

import math

import pytest

from strategies import Rules, decide, register_position_rule
from strategies.decision import POSITION_RULES
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
