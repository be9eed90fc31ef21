"""Rounding never increases an order size; band, gross cap and exposure are computed as documented."""

import math
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies.account.perpetual import PerpetualCommission
from strategies.sizing import cap_gross, exposure_to_size, outside_band, round_to_step, round_to_tick

SIZES = st.floats(-1e9, 1e9, allow_nan=False)
STEPS = st.sampled_from([0.0, 0.001, 0.01, 0.1, 0.3, 1.0, 5.0, 1e-6, 1e-8])


@given(size=SIZES, step=STEPS)
def test_rounding_never_enlarges_a_size_and_never_turns_it_around(size, step):
    rounded = round_to_step(size, step)
    assert abs(rounded) <= abs(size)
    assert rounded * size >= 0.0
    assert abs(size) - abs(rounded) < step or step == 0.0


@given(size=SIZES, step=STEPS.filter(bool))
def test_a_rounded_size_prints_as_an_exact_multiple_of_the_step(size, step):
    assert Decimal(repr(round_to_step(size, step))) % Decimal(repr(step)) == 0


@given(size=SIZES, step=STEPS)
def test_rounding_twice_changes_nothing(size, step):
    once = round_to_step(size, step)
    assert round_to_step(once, step) == once


@pytest.mark.parametrize(
    ("size", "step", "rounded"),
    [
        (0.1 + 0.2, 0.1, 0.3),  # not 0.30000000000000004
        (0.7 - 0.4, 0.1, 0.2),  # 0.29999999999999993 is below three lots
        (-0.0019, 0.001, -0.001),
        (12.7, 5.0, 10.0),
        (0.12345, 0.0, 0.12345),
    ],
)
def test_rounding_is_decimal_and_toward_zero(size, step, rounded):
    assert round_to_step(size, step) == rounded


def test_a_numpy_scalar_is_rounded_as_the_number_it_is():
    """Backtrader's PandasData leaves such scalars in the bounded buffers of exactbars, and prices become sizes."""
    assert round_to_step(np.float64(-32.3086), 0.001) == -32.308


def test_a_difference_of_lots_keeps_its_lots_when_dust_is_forgiven():
    assert round_to_step(0.7 - 0.4, 0.1, forgive_dust=True) == 0.3
    assert round_to_step(0.299, 0.1, forgive_dust=True) == 0.2


@pytest.mark.parametrize("size", [math.nan, math.inf])
def test_a_size_that_is_no_number_is_refused(size):
    with pytest.raises(ValueError, match="expected a finite order size"):
        round_to_step(size, 0.1)


@given(
    size=st.floats(-1e6, 1e6),
    price=st.floats(0.01, 1e6),
    step=STEPS,
    min_size=st.floats(0.0, 10.0),
    min_notional=st.floats(0.0, 100.0),
    max_size=st.floats(20.0, 1e5),
)
def test_every_size_satisfies_the_filters_of_the_exchange(
    size, price, step, min_size, min_notional, max_size
):
    fees = PerpetualCommission(lot_step=step, min_size=min_size, min_notional=min_notional, max_size=max_size)
    rounded = fees.round_size(size, price)
    assert abs(rounded) <= min(abs(size), max_size)
    if rounded:
        assert abs(rounded) >= min_size
        assert abs(rounded) * price >= min_notional
        assert step == 0.0 or Decimal(repr(rounded)) % Decimal(repr(step)) == 0


def test_an_exposure_is_a_share_of_equity_at_a_price():
    exact = PerpetualCommission(lot_step=0.0, min_notional=0.0).round_size
    lots = PerpetualCommission(lot_step=0.001, min_notional=0.0).round_size
    assert exposure_to_size(0.5, 10_000.0, 50_000.0, exact) == 0.1
    assert exposure_to_size(-0.333, 10_000.0, 50_000.0, lots) == -0.066
    assert exposure_to_size(0.5, 0.0, 50_000.0, exact) == 0.0
    assert exposure_to_size(0.5, -1.0, 50_000.0, exact) == 0.0


@pytest.mark.parametrize(
    ("current", "target", "trades"),
    [(0.5, 0.54, False), (0.5, 0.61, True), (0.04, 0.0, True), (0.0, 0.0, False), (0.5, -0.5, True)],
)
def test_the_band_holds_small_changes_and_always_lets_go_to_zero(current, target, trades):
    assert outside_band(current, target, 0.1) is trades


@given(st.dictionaries(st.text(max_size=3), st.floats(-10, 10), max_size=5), st.floats(1e-6, 5.0))
def test_the_gross_cap_holds_and_keeps_signs_and_proportions(exposures, cap):
    capped = cap_gross(exposures, cap)
    assert math.fsum(abs(v) for v in capped.values()) <= cap * (1.0 + 1e-12)
    assert all(capped[s] * exposures[s] >= 0.0 and abs(capped[s]) <= abs(exposures[s]) for s in exposures)
    if math.fsum(abs(v) for v in exposures.values()) <= cap:
        assert capped == exposures


@pytest.mark.parametrize(
    ("price", "tick", "up", "rounded"),
    [
        (100.03, 0.05, True, 100.05),
        (100.03, 0.05, False, 100.0),
        (0.1 + 0.2, 0.1, True, 0.3),
        (0.1 + 0.2, 0.1, False, 0.3),
        (7.0, 0.0, True, 7.0),
        (0.04, 0.1, False, 0.0),
    ],
)
def test_a_price_is_rounded_to_its_tick(price, tick, up, rounded):
    assert round_to_tick(price, tick, up=up) == rounded


def test_the_size_of_an_exposure_counts_the_value_of_a_contract():
    # Half of 10,000 in contracts of 10 units at 100; half of 1 BTC in contracts of 1 USD at 40,000.
    assert exposure_to_size(0.5, 10_000.0, 100.0, lambda size, price: size, 1_000.0) == 5.0
    assert exposure_to_size(0.5, 1.0, 40_000.0, lambda size, price: size, 1 / 40_000) == pytest.approx(
        20_000.0
    )
