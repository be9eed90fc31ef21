"""Caps make targets smaller, hold for any targets, and leave alone what already keeps them."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from strategies.decision import (
    REASONS,
    Rules,
    cap_factors,
    capped,
    fixed_exposure,
    has_caps,
    volatility_factor,
)


def rules(**changes):
    return Rules(**{"leverage": math.inf, "rebalance_band": 0.0, **changes})


def code(reason):
    return REASONS.index(reason)


def scaled(rules, targets, gross=0.0, net=0.0):
    return [t * f for t, f in zip(targets, cap_factors(rules, targets, gross, net), strict=True)]


# By hand ------------------------------------------------------------------------------------------------------


def test_the_gross_cap_shrinks_all_targets_alike():
    assert cap_factors(rules(leverage=1.0), [0.5, -0.5]) == [1.0, 1.0]
    assert cap_factors(rules(leverage=1.0), [1.0, -1.0]) == [0.5, 0.5]
    assert cap_factors(rules(leverage=1.0), [1.0, -0.5], gross=0.25, net=0.25) == [0.5, 0.5]
    assert cap_factors(rules(leverage=1.0), [1.0], gross=3.0, net=3.0) == [0.0]
    assert cap_factors(rules(), [1e6], gross=3.0) == [1.0]
    assert cap_factors(rules(leverage=1.0), []) == []


def test_the_symbols_cap_cuts_only_the_symbols_above_it():
    assert scaled(rules(max_symbol_exposure=0.25), [0.5, -0.2, -1.0]) == [0.25, -0.2, -0.25]


def test_the_symbols_are_cut_before_all_are_scaled():
    # 0.4 and -0.4 are left of 1.6 and -0.4; half of each keeps the leverage.
    assert scaled(rules(max_symbol_exposure=0.4, leverage=0.4), [1.6, -0.4]) == pytest.approx([0.2, -0.2])


def test_the_net_cap_shrinks_the_side_that_is_too_large():
    # Long 0.9 less short 0.3 is 0.6; 0.4 is allowed, so the longs give up 0.2 of 0.9.
    found = scaled(rules(max_net_exposure=0.4), [0.6, 0.3, -0.3])
    assert found == pytest.approx([0.6 * 7 / 9, 0.3 * 7 / 9, -0.3])
    assert scaled(rules(max_net_exposure=0.4), [-0.6, -0.3, 0.3]) == pytest.approx([-x for x in found])


def test_what_cannot_be_traded_counts_for_the_net_cap():
    assert scaled(rules(max_net_exposure=0.5), [0.4, -0.1], gross=0.3, net=0.3) == pytest.approx([0.3, -0.1])
    # A hedge is not made smaller, although the position alone is above the cap.
    assert scaled(rules(max_net_exposure=0.5), [0.2, -0.3], gross=1.0, net=1.0) == [0.0, -0.3]


def test_the_net_cap_is_applied_after_the_gross_cap():
    # Gross 2.5 to 1.0 by 0.4: 0.8 and -0.2; net 0.6 to 0.5: 0.7 and -0.2.
    both = rules(leverage=1.0, max_net_exposure=0.5)
    assert scaled(both, [2.0, -0.5]) == pytest.approx([0.7, -0.2])


def test_the_volatility_of_a_portfolio_by_hand():
    # Two symbols of 60 % a year with a correlation of 0.5: half each is sqrt(0.09 + 0.09 + 0.09) = 0.5196.
    covariance = np.array([[0.36, 0.18], [0.18, 0.36]])
    half, none = np.array([0.5, 0.5]), np.zeros(2)
    assert volatility_factor(0.3, covariance, half, none) == pytest.approx(0.3 / math.sqrt(0.27))
    assert volatility_factor(0.52, covariance, half, none) == 1.0
    # Long and short: sqrt(0.09 + 0.09 - 0.09) = 0.3.
    assert volatility_factor(0.3, covariance, np.array([0.5, -0.5]), none) == 1.0
    assert volatility_factor(0.15, covariance, np.array([0.5, -0.5]), none) == pytest.approx(0.5)


def test_a_position_that_stays_uses_up_the_volatility():
    covariance = np.diag([0.36, 0.36])
    stays = np.array([0.5, 0.0])  # 30 %
    factor = volatility_factor(0.5, covariance, np.array([0.0, 1.0]), stays)
    assert factor == pytest.approx(0.4 / 0.6)  # 30 % and 40 % are 50 %
    assert volatility_factor(0.2, covariance, np.array([0.0, 1.0]), stays) == 0.0
    # A hedge is kept as far as the volatility allows: |0.5 - 5/6| of 60 % is 20 %.
    assert volatility_factor(0.2, covariance, np.array([-1.0, 0.0]), stays) == pytest.approx(5 / 6)
    assert volatility_factor(0.2, covariance, np.zeros(2), stays) == 1.0


def test_which_positions_stay():
    assert fixed_exposure(0.0, code("stale"), 0.4, True) == 0.4, "nothing trades in a hole"
    assert fixed_exposure(0.0, code("drawdown_stop"), 0.4, True) == 0.4
    assert fixed_exposure(0.0, code("stale"), 0.4, False) == 0.0, "it will be closed"
    assert fixed_exposure(0.4, code("stale"), 0.4, False) == 0.4, "a late bar"
    assert fixed_exposure(0.0, code("warmup"), 0.4, False) == 0.4, "no order is sent"
    assert fixed_exposure(0.4, code("kill_switch"), 0.4, False) == 0.4
    assert fixed_exposure(0.0, code("kill_switch"), 0.4, False) == 0.0
    for reason in (
        "trade",
        "reduced",
        "hold",
        "cooldown",
        "out_of_distribution",
        "drift",
        "expired",
        "drawdown_stop",
    ):
        assert fixed_exposure(0.3, code(reason), 0.4, False) is None


def test_one_symbol_within_its_largest_exposure_needs_no_caps():
    assert not has_caps(Rules(), 1)
    assert has_caps(Rules(), 2)
    assert has_caps(Rules(max_exposure=2.0), 1)
    for name in ("max_symbol_exposure", "max_net_exposure", "portfolio_volatility"):
        assert has_caps(Rules(**{name: 0.1}), 1)


@pytest.mark.parametrize(
    ("target", "reason", "exposure", "expected"),
    [
        (1.0, "trade", 0.0, (0.5, "trade")),
        (1.0, "trade", 0.45, (0.45, "hold")),
        (1.0, "reduced", 0.0, (0.5, "reduced")),
        (0.8, "hold", 0.8, (0.4, "trade")),
        (0.2, "hold", 0.2, (0.2, "hold")),
        (0.2, "cooldown", 0.2, (0.2, "cooldown")),
        (0.8, "cooldown", 0.8, (0.4, "trade")),
        (0.0, "out_of_distribution", 0.8, (0.0, "out_of_distribution")),
        (0.8, "stale", 0.8, (0.8, "stale")),
        (0.8, "kill_switch", 0.8, (0.8, "kill_switch")),
    ],
)
def test_a_capped_target_is_traded_only_outside_the_band(target, reason, exposure, expected):
    found = capped(rules(rebalance_band=0.3), target, code(reason), exposure, 1, 0.5)
    assert (found[0], REASONS[found[1]]) == expected


def test_the_band_of_the_cap_is_of_a_symbols_part():
    found = capped(rules(rebalance_band=0.3), 0.4, code("trade"), 0.1, 4, 0.5)
    assert (found[0], REASONS[found[1]]) == (0.2, "trade")


def test_a_target_that_the_caps_leave_at_the_position_is_no_trade():
    assert capped(rules(), 0.8, code("trade"), 0.4, 1, 0.5) == (0.4, code("hold"))
    assert capped(rules(), 0.8, code("trade"), 0.0, 1, 0.0) == (0.0, code("hold"))


# For any targets ----------------------------------------------------------------------------------------------

TARGETS = st.lists(st.floats(-5.0, 5.0).map(lambda x: round(x, 6)), min_size=1, max_size=8)
CAPS = st.builds(
    rules,
    leverage=st.floats(0.01, 10.0) | st.just(math.inf),
    max_symbol_exposure=st.just(0.0) | st.floats(0.01, 3.0),
    max_net_exposure=st.just(0.0) | st.floats(0.01, 3.0),
)
NEAR = 1e-9


@given(rules=CAPS, targets=TARGETS, held=st.lists(st.floats(-2.0, 2.0), max_size=3))
def test_no_target_grows_or_changes_its_sign_and_all_caps_hold(rules, targets, held):
    gross, net = sum(map(abs, held)), sum(held)
    factors = cap_factors(rules, targets, gross, net)
    assert len(factors) == len(targets)
    assert all(0.0 <= factor <= 1.0 for factor in factors)
    found = [t * f for t, f in zip(targets, factors, strict=True)]
    assert gross + sum(map(abs, found)) <= max(rules.leverage, gross) + NEAR
    if rules.max_symbol_exposure:
        assert max(map(abs, found)) <= rules.max_symbol_exposure + NEAR
    if rules.max_net_exposure:
        side = math.copysign(1.0, net)
        hedges = sum(abs(t) for t in found if t * side < 0.0)
        # What stays may be above the cap: then nothing is added to it, and no hedge is reduced.
        assert abs(net + sum(found)) <= max(rules.max_net_exposure, abs(net) - hedges) + NEAR


@given(rules=CAPS, targets=TARGETS, held=st.floats(-2.0, 2.0))
def test_caps_applied_twice_are_caps_applied_once(rules, targets, held):
    once = scaled(rules, targets, abs(held), held)
    assert scaled(rules, once, abs(held), held) == pytest.approx(once, abs=NEAR)


@settings(max_examples=40)
@given(
    rows=st.lists(st.lists(st.floats(-1.0, 1.0), min_size=3, max_size=3), min_size=4, max_size=8),
    targets=st.lists(st.floats(-2.0, 2.0), min_size=3, max_size=3),
    stays=st.lists(st.floats(-0.5, 0.5), min_size=3, max_size=3),
    limit=st.floats(0.05, 2.0),
)
def test_the_volatility_is_at_most_the_limit_or_as_low_as_scaling_makes_it(rows, targets, stays, limit):
    covariance = np.cov(np.array(rows).T) + 1e-6 * np.eye(3)
    targets, stays = np.array(targets), np.array(stays)
    assume(np.abs(targets).max() > 1e-3)

    def volatility(factor):
        held = stays + factor * targets
        return math.sqrt(held @ covariance @ held)

    factor = volatility_factor(limit, covariance, targets, stays)
    assert 0.0 <= factor <= 1.0
    lowest = min(volatility(f) for f in np.linspace(0.0, 1.0, 101))
    assert volatility(factor) <= max(limit, lowest) + 1e-6
    if factor < 1.0 and volatility(factor) < limit - 1e-6:
        pytest.fail("more was possible")
