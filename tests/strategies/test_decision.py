"""Every rule has its documented effect and order, and can be switched off; a position can always be closed."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from strategies.decision import (
    REASONS,
    AccountState,
    Decision,
    Observation,
    Rules,
    agreement,
    choose,
    confidence,
    decide,
    exposure_of,
    forecast_of,
    is_silent,
    may_order,
    watch_equity,
    with_order,
)

OFF = {
    "confidence_threshold": 0.0,
    "density_quantile": 0.0,
    "novelty_scaling": 0.0,
    "consistency_window": 0,
    "score_variance_scaling": 0.0,
    "target_volatility": None,
    "max_exposure": 1.0,
    "rebalance_band": 0.0,
    "cooldown": 0,
    "position_rule": "confidence",
    "forecast_window": 1,
}
CALM = Observation(
    score=0.2,
    signal=0.8,
    confidence=0.8,
    score_std=0.05,
    density_rank=0.5,
    annual_volatility=0.6,
    agreement=1.0,
    exposure=0.0,
    bars_since_fill=math.inf,
)


def rules(**changes):
    return Rules(**{**OFF, **changes})


def seen(**changes):
    return CALM._replace(**changes)


UNIT = st.floats(0.0, 1.0)
POSITIVE = st.floats(0.0, 10.0)
RULES = st.builds(
    Rules,
    confidence_threshold=UNIT,
    density_quantile=UNIT,
    novelty_scaling=st.just(0.0) | st.floats(0.01, 1.0),
    consistency_window=st.integers(0, 20),
    consistency_share=UNIT,
    score_variance_scaling=POSITIVE,
    target_volatility=st.none() | st.floats(0.0, 5.0),
    max_exposure=st.floats(0.0, 5.0),
    rebalance_band=UNIT,
    cooldown=st.integers(0, 50),
    position_rule=st.just("confidence"),
    forecast_window=st.just(1),
)
OBSERVATIONS = st.builds(
    lambda sign, score, confidence, **rest: Observation(
        score=sign * score, signal=sign * confidence, confidence=confidence, **rest
    ),
    sign=st.sampled_from([-1.0, 0.0, 1.0]),
    score=POSITIVE,
    confidence=UNIT,
    score_std=POSITIVE,
    density_rank=UNIT,
    annual_volatility=POSITIVE,
    agreement=UNIT,
    exposure=st.floats(-5.0, 5.0),
    bars_since_fill=st.integers(0, 100).map(float) | st.just(math.inf),
)


def test_without_rules_the_target_is_the_signal_times_the_largest_exposure():
    assert decide(rules(max_exposure=2.0), seen(signal=0.8)) == Decision(1.6, "trade")
    assert decide(rules(), seen(signal=-0.3)) == Decision(-0.3, "trade")


@pytest.mark.parametrize(
    ("rule", "bad", "good", "reason"),
    [
        ({"density_quantile": 0.05}, {"density_rank": 0.0499}, {"density_rank": 0.05}, "out_of_distribution"),
        ({"confidence_threshold": 0.3}, {"confidence": 0.2999}, {"confidence": 0.3}, "low_confidence"),
        (
            {"consistency_window": 5, "consistency_share": 0.6},
            {"agreement": 0.4},
            {"agreement": 0.6},
            "inconsistent",
        ),
    ],
)
def test_a_filter_closes_below_its_threshold_and_lets_pass_at_it(rule, bad, good, reason):
    assert decide(rules(**rule), seen(exposure=0.7, **bad)) == Decision(0.0, reason)
    assert decide(rules(**rule), seen(**good)).reason == "trade"
    assert decide(rules(), seen(**bad)).reason == "trade"


@pytest.mark.parametrize("unknown", ["signal", "density_rank"])
def test_a_state_that_is_not_defined_is_stale(unknown):
    assert decide(rules(), seen(exposure=0.5, **{unknown: math.nan})) == Decision(0.0, "stale")


def test_on_a_doubtful_bar_the_position_is_kept_whatever_else_is_wrong():
    wrong = {"ruined": True, "stopped": True, "density_rank": 0.0}
    assert decide(rules(), seen(exposure=0.5, doubtful=True, **wrong)) == Decision(0.5, "doubtful")
    assert decide(rules(), seen(exposure=0.5, doubtful=True, late=True)) == Decision(0.5, "stale")
    flatten = {"kill_switch": True, "flatten": True}
    assert decide(rules(), seen(exposure=0.5, doubtful=True, **flatten)) == Decision(0.0, "kill_switch")


def test_the_data_come_before_the_density_and_the_density_before_the_signal():
    strict = rules(
        density_quantile=0.5,
        confidence_threshold=0.5,
        consistency_window=3,
        consistency_share=1.0,
        rebalance_band=1.0,
        cooldown=9,
    )
    worst = seen(
        density_rank=math.nan, confidence=0.1, signal=0.1, agreement=0.3, exposure=0.1, bars_since_fill=1.0
    )
    expected = (
        ("stale", {"density_rank": 0.1}),
        ("out_of_distribution", {"density_rank": 0.9}),
        ("low_confidence", {"confidence": 0.9, "signal": 0.9}),
        ("inconsistent", {"agreement": 1.0}),
        ("hold", {"exposure": -0.5}),
        ("cooldown", {"bars_since_fill": 9.0}),
        ("trade", {}),
    )
    for reason, cure in expected:
        assert decide(strict, worst).reason == reason
        worst = worst._replace(**cure)


# The account and the conditions --------------------------------------------------------------------------------


def code(reason):
    return REASONS.index(reason)


WORST = {
    "warming": True,
    "kill_switch": True,
    "late": True,
    "ruined": True,
    "stopped": True,
    "signal": math.nan,
    "exposure": 0.5,
}


def test_warm_up_comes_first_then_the_kill_switch_late_bars_the_account_and_the_data():
    worst = seen(**WORST)
    expected = (
        (Decision(0.0, "warmup"), {"warming": False}),
        (Decision(0.5, "kill_switch"), {"flatten": True}),
        (Decision(0.0, "kill_switch"), {"kill_switch": False}),
        (Decision(0.5, "stale"), {"late": False}),
        (Decision(0.0, "ruined"), {"ruined": False}),
        (Decision(0.0, "drawdown_stop"), {"stopped": False}),
        (Decision(0.0, "stale"), {"signal": 0.8}),
        (Decision(0.8, "trade"), {}),
    )
    for decision, cure in expected:
        assert decide(rules(), worst) == decision
        worst = worst._replace(**cure)


def test_a_silent_symbol_is_closed_whatever_the_model_last_said_and_is_not_warming_up():
    assert decide(rules(), seen(silent=True, exposure=0.5)) == Decision(0.0, "stale")
    assert decide(rules(), seen(silent=True, warming=True, exposure=0.5)) == Decision(0.0, "stale")
    assert decide(rules(), seen(silent=True, stopped=True)).reason == "drawdown_stop"
    assert decide(rules(), seen(silent=True, late=True, exposure=0.5)) == Decision(0.5, "stale")


@pytest.mark.parametrize(
    ("reason", "changes", "expected"),
    [
        ("trade", {}, True),
        ("out_of_distribution", {}, True),
        ("drawdown_stop", {}, True),
        ("ruined", {}, True),
        ("stale", {}, True),
        ("stale", {"late": True}, False),
        ("kill_switch", {"kill_switch": True}, False),
        ("kill_switch", {"kill_switch": True, "flatten": True}, True),
        ("kill_switch", {"kill_switch": True, "flatten": True, "late": True}, False),
        ("doubtful", {"doubtful": True}, False),
        ("kill_switch", {"kill_switch": True, "flatten": True, "doubtful": True}, True),
        ("warmup", {}, False),
        ("hold", {}, False),
        ("cooldown", {}, False),
    ],
)
def test_orders_follow_a_decision_unless_the_position_is_kept(reason, changes, expected):
    assert may_order(seen(**changes), code(reason)) is expected


def test_a_trade_that_the_lot_rounds_to_nothing_is_below_the_minimum():
    assert with_order(code("trade"), 0.3, 0.0) == code("below_minimum")
    assert with_order(code("trade"), 0.3, 0.001) == code("trade")
    assert with_order(code("trade"), 0.0, 0.0) == code("trade")
    assert with_order(code("out_of_distribution"), 0.0, 0.0) == code("out_of_distribution")


@given(rules=RULES, seen=OBSERVATIONS, symbols=st.sampled_from([1, 2, 4]))
def test_a_symbol_decides_on_its_part_of_the_capital(rules, seen, symbols):
    alone = decide(rules, seen)
    shared = decide(rules, seen._replace(exposure=seen.exposure / symbols, symbols=symbols))
    # Powers of two: the arithmetic is exact.
    assume(abs(seen.exposure) > 1e-300 or seen.exposure == 0.0)
    assert shared == Decision(alone.target / symbols, alone.reason)


def test_a_symbol_without_a_part_is_closed_and_nothing_holds_it():
    strict = rules(rebalance_band=1.0, cooldown=9, cost_band=9.0)
    nothing = {"symbols": math.inf, "bars_since_fill": 1.0, "cost": 0.01}
    assert decide(strict, seen(exposure=0.2, **nothing)) == Decision(0.0, "trade")
    assert decide(strict, seen(**nothing)) == Decision(0.0, "hold")
    assert decide(rules(density_quantile=0.9), seen(**nothing)) == Decision(0.0, "out_of_distribution")


def test_what_is_kept_of_a_part_is_the_exposure_to_the_last_bit():
    third = 0.1 / 3
    assert decide(rules(rebalance_band=1.0), seen(exposure=third, symbols=3)) == Decision(third, "hold")
    assert decide(rules(), seen(kill_switch=True, exposure=third, symbols=3)).target == third


def test_a_drawdown_from_the_peak_stops_for_good_and_ruin_is_told_apart():
    strict = rules(max_drawdown_stop=0.25)
    states, state = [], AccountState()
    for equity in (100.0, 80.0, 120.0, 90.1, 90.0, 500.0, 0.0, 500.0):
        state = watch_equity(strict, state, equity)
        states.append((state.peak, state.stopped, state.ruined))
    assert states == [
        (100.0, False, False),
        (100.0, False, False),
        (120.0, False, False),
        (120.0, False, False),
        (120.0, True, False),
        (500.0, True, False),
        (500.0, True, True),
        (500.0, True, True),
    ]


def test_without_a_drawdown_stop_only_ruin_ends_trading():
    state = watch_equity(rules(), watch_equity(rules(), AccountState(), 100.0), 0.01)
    assert (state.stopped, state.ruined, state.floor) == (False, False, 0.0)
    assert watch_equity(rules(), state, 0.0)[2:] == (True, False)
    assert watch_equity(rules(), state, -5.0)[2:] == (True, False)


def test_exposure_is_the_value_of_a_position_over_equity():
    assert exposure_of(-2.0, 50.0, 400.0) == -0.25
    assert exposure_of(0.0, math.nan, 400.0) == 0.0
    assert exposure_of(2.0, 50.0, 0.0) == exposure_of(2.0, 50.0, -1.0) == 0.0


def test_a_symbol_is_silent_half_a_bar_after_the_bars_it_may_miss():
    assert not is_silent(rules(stale_after=0), 1e9, 1.0)
    assert not is_silent(rules(stale_after=3), 3.5, 1.0)
    assert is_silent(rules(stale_after=3), 3.6, 1.0)
    assert not is_silent(rules(stale_after=3), 7.0, 2.0)


def test_the_decision_reads_numbers_only():
    """Compiled code takes tuples of numbers, and neither strings nor objects."""
    target, reason = choose(rules(), seen(), forecast_of(rules(), seen(), confidence))
    assert (type(target), type(reason)) == (float, int)
    assert all(isinstance(value, float | int) for value in seen())


def test_volatility_scaling_holds_the_risk_and_never_levers_up():
    assert decide(rules(target_volatility=0.3), seen(annual_volatility=0.6)).target == pytest.approx(0.4)
    assert decide(rules(target_volatility=0.3), seen(annual_volatility=0.1)).target == pytest.approx(0.8)
    assert decide(rules(target_volatility=0.3), seen(annual_volatility=math.nan)).target == 0.0
    assert decide(rules(target_volatility=0.3), seen(annual_volatility=0.0)).target == 0.0


@pytest.mark.parametrize("off", [None, 0.0])
def test_volatility_scaling_is_off_at_none_and_at_zero(off):
    assert decide(rules(target_volatility=off), seen(annual_volatility=math.nan)).target == 0.8


@given(k=st.floats(0.01, 100), score=st.floats(0.01, 10), std=POSITIVE, sign=st.sampled_from([-1, 1]))
def test_variance_scaling_follows_its_formula(k, score, std, sign):
    target = decide(
        rules(score_variance_scaling=k), seen(score=sign * score, signal=sign * 0.5, score_std=std)
    ).target
    assert target == pytest.approx(sign * 0.5 * score**2 / (score**2 + k * std**2))


def test_variance_scaling_by_hand():
    doubtful = seen(score=0.2, score_std=0.2, signal=0.8)
    assert decide(rules(score_variance_scaling=3.0), doubtful).target == pytest.approx(0.2)
    assert decide(rules(), doubtful).target == 0.8


def test_novelty_scaling_by_hand():
    graded = rules(density_quantile=0.1, novelty_scaling=0.2)
    targets = [decide(graded, seen(density_rank=rank)).target for rank in (0.1, 0.15, 0.2, 0.3, 0.9)]
    assert targets == pytest.approx([0.0, 0.2, 0.4, 0.8, 0.8])
    assert decide(rules(density_quantile=0.1), seen(density_rank=0.1)).target == 0.8


@given(quantile=st.floats(0, 0.5), width=st.floats(0.01, 1), one=UNIT, other=UNIT)
def test_the_more_familiar_the_market_the_larger_the_exposure(quantile, width, one, other):
    graded = rules(density_quantile=quantile, novelty_scaling=width)
    low, high = (decide(graded, seen(density_rank=rank)).target for rank in sorted((one, other)))
    assert 0.0 <= low <= high <= 0.8


def test_a_step_inside_the_band_is_held_and_one_at_it_is_traded():
    assert decide(rules(rebalance_band=0.125), seen(signal=0.6, exposure=0.5)) == Decision(0.5, "hold")
    assert decide(rules(rebalance_band=0.125), seen(signal=0.625, exposure=0.5)) == Decision(0.625, "trade")
    assert decide(rules(), seen(signal=0.6, exposure=0.5)) == Decision(0.6, "trade")
    assert decide(rules(), seen(signal=0.5, exposure=0.5)) == Decision(0.5, "hold")


@pytest.mark.parametrize(
    ("signal", "exposure", "reason"),
    [(0.9, 0.5, "cooldown"), (-0.2, 0.5, "cooldown"), (0.3, 0.5, "trade"), (0.0, 0.5, "trade")],
    ids=["adds", "flips", "reduces", "leaves"],
)
def test_the_cooldown_stops_what_adds_and_nothing_that_reduces(signal, exposure, reason):
    decision = decide(rules(cooldown=3), seen(signal=signal, exposure=exposure, bars_since_fill=2.0))
    assert decision.reason == reason
    assert decision.target == (exposure if reason == "cooldown" else signal)
    assert (
        decide(rules(cooldown=3), seen(signal=signal, exposure=exposure, bars_since_fill=3.0)).reason
        == "trade"
    )
    assert (
        decide(rules(cooldown=0), seen(signal=signal, exposure=exposure, bars_since_fill=0.0)).reason
        == "trade"
    )


def test_a_cooldown_of_one_stops_the_close_of_the_fill_itself():
    assert decide(rules(cooldown=1), seen(bars_since_fill=0.0)).reason == "cooldown"
    assert decide(rules(cooldown=1), seen(bars_since_fill=1.0)).reason == "trade"


@given(rules=RULES, seen=OBSERVATIONS)
def test_no_decision_goes_beyond_the_largest_exposure_or_what_is_held(rules, seen):
    decision = decide(rules, seen)
    assert decision.reason in REASONS
    if decision.reason in ("trade", "reduced"):
        assert abs(decision.target) <= rules.max_exposure
        assert decision.target * seen.signal >= 0.0
    elif decision.reason in ("hold", "cooldown"):
        assert decision.target == seen.exposure
    else:
        assert decision.target == 0.0


@given(rules=RULES, seen=OBSERVATIONS)
def test_a_filter_that_fails_closes_whatever_the_band_and_the_cooldown_say(rules, seen):
    fails = (
        seen.density_rank < rules.density_quantile
        or seen.confidence < rules.confidence_threshold
        or (rules.consistency_window and seen.agreement < rules.consistency_share)
    )
    decision = decide(rules, seen)
    if fails:
        assert decision.target == 0.0
        assert decision.reason in ("out_of_distribution", "low_confidence", "inconsistent")
    else:
        assert decision.reason in ("trade", "reduced", "hold", "cooldown")


@given(rules=RULES, seen=OBSERVATIONS)
def test_a_target_of_nothing_is_never_held_back(rules, seen):
    assume(seen.exposure != 0.0)
    decision = decide(rules, seen._replace(signal=0.0))
    assert decision.target == 0.0
    assert decision.reason not in ("hold", "cooldown")


@given(rules=RULES, seen=OBSERVATIONS)
def test_long_and_short_are_mirror_images(rules, seen):
    mirrored = decide(rules, seen._replace(score=-seen.score, signal=-seen.signal, exposure=-seen.exposure))
    decision = decide(rules, seen)
    assert mirrored == Decision(-decision.target, decision.reason)


def test_agreement_is_the_share_of_the_window_with_the_present_sign():
    assert agreement([], 3) == 1.0
    assert agreement([-0.2], 3) == 1.0
    assert agreement([0.5, -0.2], 3) == 0.5
    assert agreement([-0.9, 0.5, -0.2, 0.1], 3) == pytest.approx(2 / 3)
    assert agreement([0.5, 0.0, 0.2], 3) == pytest.approx(2 / 3)
    assert agreement([0.5, math.nan, 0.2], 3) == pytest.approx(2 / 3)
    assert agreement([-0.5, 0.2], 1) == 1.0


def test_a_window_of_one_signal_or_none_has_nothing_to_disagree_with():
    assert agreement([0.5, 0.0], 1) == 1.0, "a signal of nothing has no sign, and stands alone"
    assert agreement([0.5, -0.2], 0) == 1.0, "the check is switched off"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("confidence_threshold", 1.5, "between 0 and 1"),
        ("confidence_threshold", -0.1, "between 0 and 1"),
        ("density_quantile", math.nan, "between 0 and 1"),
        ("density_quantile", "0.05", "between 0 and 1"),
        ("consistency_share", None, "between 0 and 1"),
        ("max_drawdown_stop", 2, "between 0 and 1"),
        ("novelty_scaling", -1e-9, "at least 0"),
        ("score_variance_scaling", True, "at least 0"),
        ("max_exposure", math.inf, "at least 0"),
        ("rebalance_band", math.nan, "at least 0"),
        ("target_volatility", -0.3, "at least 0"),
        ("cooldown", 1.5, "whole number of bars"),
        ("cooldown", math.inf, "at least 0"),
        ("consistency_window", -1, "at least 0"),
        ("stale_after", 0.5, "whole number of bars"),
        ("allocation_every", 0, "at least 1"),
        ("covariance_window", 1, "at least 2"),
        ("covariance_window", 30.5, "whole number of bars"),
        ("max_symbol_exposure", -0.1, "at least 0"),
        ("max_net_exposure", math.inf, "at least 0"),
        ("portfolio_volatility", None, "at least 0"),
    ],
)
def test_an_impossible_parameter_is_named_with_what_it_may_be(name, value, words):
    with pytest.raises(ValueError, match=words) as caught:
        Rules(**{name: value})
    assert str(caught.value).startswith(f"{name}: expected")
    assert repr(value) in str(caught.value)


def test_numbers_of_numpy_are_numbers():
    assert Rules(cooldown=np.int64(3), confidence_threshold=np.float32(0.5)).cooldown == 3
