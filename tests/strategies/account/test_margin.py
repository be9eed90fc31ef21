"""Liquidation prices against the closed form of a single position, and their properties."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from strategies.account.margin import Leg, liquidate_on_gap, liquidate_on_slide

# Equity 10 000, 1000 units bought at 100: cash is 10 000 - 100 000.
LONG_CASH, SHORT_CASH = -90_000.0, 110_000.0


def test_a_long_is_closed_where_equity_meets_the_maintenance_margin():
    # 1000 p - 90 000 = 0.005 x 1000 p  ->  p = 90 000 / 995
    liquidation = liquidate_on_slide(LONG_CASH, [Leg(1000.0, 100.0, 30.0, 0.005)])
    assert liquidation.prices == [pytest.approx(90_000 / 995)]
    assert liquidation.fees == [pytest.approx(5.0 * 90_000 / 995)]


def test_a_short_is_closed_where_equity_meets_the_maintenance_margin():
    # 110 000 - 1000 p = 5 p  ->  p = 110 000 / 1005
    liquidation = liquidate_on_slide(SHORT_CASH, [Leg(-1000.0, 100.0, 170.0, 0.005)])
    assert liquidation.prices == [pytest.approx(110_000 / 1005)]
    assert liquidation.fees == [pytest.approx(5.0 * 110_000 / 1005)]


def test_a_gap_into_the_maintenance_margin_costs_what_is_left_at_the_open():
    liquidation = liquidate_on_gap(LONG_CASH, [Leg(1000.0, 100.0, 90.2, 0.005)])
    assert liquidation.prices == [90.2]
    assert liquidation.fees == [pytest.approx(200.0)]


def test_a_gap_through_bankruptcy_costs_the_equity_and_no_more():
    liquidation = liquidate_on_gap(LONG_CASH, [Leg(1000.0, 100.0, 30.0, 0.005)])
    assert liquidation.prices == [pytest.approx(90.0)]
    assert liquidation.fees == [0.0]


def test_what_is_bankrupt_before_it_slides_pays_no_fee():
    liquidation = liquidate_on_slide(LONG_CASH, [Leg(1000.0, 89.0, 80.0, 0.005)])
    assert (liquidation.prices, liquidation.fees) == ([89.0], [0.0])


def test_two_symbols_share_one_margin():
    # From equity 10 000 to -5 000 and margin 375 to 350: they meet at 9625 / 14 975 of the way.
    legs = [Leg(500.0, 100.0, 80.0, 0.005), Leg(-250.0, 100.0, 120.0, 0.005)]
    liquidation = liquidate_on_slide(10_000.0 - 50_000.0 + 25_000.0, legs)
    at = 9_625 / 14_975
    assert liquidation.prices == pytest.approx([100 - 20 * at, 100 + 20 * at])
    assert sum(liquidation.fees) == pytest.approx(375 - 25 * at)


def test_a_sound_account_is_left_alone():
    assert liquidate_on_slide(LONG_CASH, [Leg(1000.0, 100.0, 90.5, 0.005)]) is None
    assert liquidate_on_gap(LONG_CASH, [Leg(1000.0, 100.0, 90.5, 0.005)]) is None


LEGS = st.lists(
    st.builds(
        Leg,
        st.floats(-100, 100).filter(lambda size: abs(size) > 1e-3),
        st.floats(10, 1000),
        st.floats(1, 2000),
        st.floats(0.001, 0.05),
        st.none(),
    ),
    min_size=1,
    max_size=3,
)


@pytest.mark.parametrize("liquidate", [liquidate_on_gap, liquidate_on_slide])
@given(legs=LEGS, equity=st.floats(1, 50_000))
def test_a_liquidation_takes_all_equity_and_not_more(liquidate, legs, equity):
    cash = equity - sum(leg.size * leg.start for leg in legs)
    assume(equity > sum(leg.maintenance * abs(leg.size) * leg.start for leg in legs))
    liquidation = liquidate(cash, legs)
    end = cash + sum(leg.size * leg.end for leg in legs)
    margin = sum(leg.maintenance * abs(leg.size) * leg.end for leg in legs)
    if liquidation is None:
        assert end > margin
        return
    assert end <= margin
    assert all(fee >= 0.0 for fee in liquidation.fees)
    pairs = zip(legs, liquidation.prices, strict=True)
    left = cash + sum(leg.size * price for leg, price in pairs) - sum(liquidation.fees)
    gross = sum(abs(leg.size) * max(leg.start, leg.end) for leg in legs)
    assert left == pytest.approx(0.0, abs=1e-9 * gross)
    for leg, price in zip(legs, liquidation.prices, strict=True):
        assert min(leg.start, leg.end) * (1 - 1e-9) <= price <= max(leg.start, leg.end) * (1 + 1e-9)
