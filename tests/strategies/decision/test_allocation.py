"""Parts of the capital: equal, by volatility, by covariance, and by a user's own function."""

import math

import numpy as np
import pytest

from strategies.decision import (
    ALLOCATIONS,
    ActiveSymbols,
    Rules,
    divisors,
    needs_covariance,
    register_allocation,
)


def active(volatility, full=1.0, covariance=None):
    volatility = np.array(volatility, dtype=float)
    names = tuple(f"S{number}" for number in range(len(volatility)))
    return ActiveSymbols(names, volatility, np.broadcast_to(full, volatility.shape).astype(float), covariance)


def parts(name, facts, rules=None):
    weights = ALLOCATIONS[name](rules or Rules(), facts)
    return [1.0 / divisor for divisor in divisors(name, weights, len(facts.names))]


@pytest.mark.parametrize("symbols", [1, 3, 49, 500])
def test_equal_parts_are_exactly_one_over_the_number_of_symbols(symbols):
    assert (
        divisors("equal", ALLOCATIONS["equal"](Rules(), active([0.5] * symbols)), symbols)
        == [symbols] * symbols
    )


def test_parts_by_risk_are_proportional_to_the_inverse_volatility():
    # 1/0.3 : 1/0.6 : 1/1.2 = 4 : 2 : 1.
    assert parts("risk", active([0.3, 0.6, 1.2])) == pytest.approx([4 / 7, 2 / 7, 1 / 7])


def test_parts_by_risk_do_not_divide_twice_by_the_volatility():
    """The position rule already holds a full exposure of 0.3 / volatility, at most 1."""
    full = np.array([1.0, 0.5, 0.25])
    found = np.array(parts("risk", active([0.3, 0.6, 1.2], full)))
    assert found == pytest.approx([1 / 3] * 3)
    # A symbol of 10 % is held back by max_exposure: it takes a larger part to have the same risk.
    calm = np.array(parts("risk", active([0.1, 0.6], np.array([1.0, 0.5]))))
    risks = calm * [1.0, 0.5] * [0.1, 0.6]
    assert risks[0] == pytest.approx(risks[1])


def test_a_symbol_whose_volatility_is_unknown_has_no_part():
    assert parts("risk", active([0.5, math.nan, 0.0])) == [1.0, 0.0, 0.0]
    assert divisors("risk", ALLOCATIONS["risk"](Rules(), active([math.nan])), 1) == [math.inf]


def test_parts_by_covariance_give_full_positions_equal_parts_of_the_variance():
    covariance = np.array([[0.09, 0.08, 0.0], [0.08, 0.36, 0.0], [0.0, 0.0, 0.16]])
    full = np.array([1.0, 0.5, 0.8])
    held = np.array(parts("covariance", active([0.3, 0.6, 0.4], full, covariance))) * full
    shares = held * (covariance @ held)
    assert shares == pytest.approx([shares[0]] * 3)
    assert held[2] / held[0] > 0.3 / 0.4, "the symbol that nothing moves with has more than by its volatility"


def test_parts_by_covariance_need_it():
    with pytest.raises(ValueError, match="found none"):
        ALLOCATIONS["covariance"](Rules(), active([0.5]))
    assert needs_covariance("covariance")
    assert not needs_covariance("equal")


@pytest.mark.parametrize("weights", [[1.0], [1.0, -0.1], [1.0, math.nan], [math.inf, 1.0]])
def test_impossible_weights_are_an_error_that_names_the_allocation(weights):
    with pytest.raises(ValueError, match="allocation 'mine': expected 2 finite weights"):
        divisors("mine", weights, 2)


def test_weights_have_any_scale():
    assert divisors("mine", [30.0, 10.0, 0.0], 3) == [4 / 3, 4.0, math.inf]


def test_users_add_their_own():
    @register_allocation("first_only")
    def first_only(rules, active):
        return [1.0] + [0.0] * (len(active.names) - 1)

    try:
        assert Rules(allocation="first_only").allocation == "first_only"
        assert parts("first_only", active([0.5, 0.5])) == [1.0, 0.0]
    finally:
        ALLOCATIONS.remove("first_only")
    with pytest.raises(
        ValueError, match="allocation: expected one of equal, risk, covariance; found 'equl'; did"
    ):
        Rules(allocation="equl")
