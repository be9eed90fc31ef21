"""Liquidation prices against the closed form of a single position, and their properties."""

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from strategies.account.margin import (
    Leg,
    bankruptcy_price,
    liquidate_on_gap,
    liquidate_on_slide,
    liquidation_price,
)
from strategies.account.risk_tiers import RiskTiers, read_tiers

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


# The exchange's formulas ----------------------------------------------------------------------------------------


def test_bybits_published_example_of_an_isolated_usdt_long():
    # Help centre, "Liquidation Price (USDT Contract)", example 1: 1 BTC at 20,000, 50x, rate 0.5 %: 19,700. The page
    # takes the maintenance margin at the entry value, 100 of the margin of 400.
    assert liquidation_price(1.0, 20_000.0, 400.0 - 100.0, 0.0) == pytest.approx(19_700.0)


def test_bybits_published_example_of_an_isolated_inverse_short():
    # Help centre, "Liquidation Price Calculation under Isolated Mode (Unified Trading Account)": 60,000 USD short at
    # 50,000, 10x, rate 0.5 %: 60,000 / (1.2 - (0.12 - 0.006)).
    price = liquidation_price(-60_000.0, 50_000.0, 0.12 - 0.006, 0.0, inverse=True)
    assert price == pytest.approx(60_000 / 1.086)


def test_bybits_published_example_of_a_cross_inverse_long():
    # Help centre, "How to calculate Liquidation Price (Inverse Contract)": 0.5 BTC, 10,000 contracts at 8,000, rate
    # 0.5 % of the entry value, taker 0.075 %: bankrupt at 5,718.57, liquidated at 5,739.50 (a multiple of 0.5).
    bankrupt = bankruptcy_price(10_000.0, 8_000.0, 0.5, fee=0.00075, inverse=True)
    assert round(bankrupt, 2) == 5_718.57
    spare = 0.5 - 1.25 * 0.005 - 10_000 * 0.00075 / bankrupt
    assert liquidation_price(10_000.0, 8_000.0, spare, 0.0, inverse=True) == pytest.approx(5_739.5, abs=0.5)


def test_bybits_published_bankruptcy_price():
    # Help centre, "Bankruptcy Price (USDT Contract)": long 1 BTC at 10,000 with 50x: 10,000 x (1 - 2 %).
    assert bankruptcy_price(1.0, 10_000.0, 200.0) == pytest.approx(9_800.0)
    assert bankruptcy_price(-1.0, 10_000.0, 200.0) == pytest.approx(10_200.0)


@pytest.mark.parametrize(("side", "price"), [(1.0, 10_000 * 1.005 / 1.35), (-1.0, 10_000 * 0.995 / 1.15)])
def test_the_present_inverse_formula_takes_the_maintenance_margin_at_the_mark_price(side, price):
    # size x (1 + rate) / (size / entry + margin), and size x (1 - rate) / (size / entry - margin).
    margin = 0.1
    assert liquidation_price(side * 10_000.0, 8_000.0, margin, 0.005, inverse=True) == pytest.approx(price)


SIZES = st.one_of(st.floats(0.01, 1e4), st.floats(-1e4, -0.01))


@given(
    size=SIZES,
    entry=st.floats(1, 1e5),
    leverage=st.floats(2, 50),
    rate=st.floats(0, 0.015),
    inverse=st.booleans(),
)
def test_at_its_liquidation_price_a_position_has_its_maintenance_margin_and_at_bankruptcy_nothing(
    size, entry, leverage, rate, inverse
):
    def worth(price):
        return -1.0 / price if inverse else price

    margin = abs(size * worth(entry)) / leverage
    deduction = 0.1 * margin * rate
    price = liquidation_price(size, entry, margin, rate, deduction=deduction, inverse=inverse)
    left = margin + size * (worth(price) - worth(entry))
    assert left == pytest.approx(abs(size * worth(price)) * rate - deduction, abs=1e-9 * margin * leverage)
    bankrupt = bankruptcy_price(size, entry, margin, inverse=inverse)
    assert margin + size * (worth(bankrupt) - worth(entry)) == pytest.approx(
        0.0, abs=1e-9 * margin * leverage
    )
    assert (price - bankrupt) * size >= -1e-9 * entry * abs(size)


def test_a_position_that_no_price_liquidates():
    assert liquidation_price(1.0, 100.0, 200.0, 0.005) == 0.0  # more margin than value
    assert liquidation_price(-10_000.0, 8_000.0, 2.0, 0.005, inverse=True) == math.inf
    assert liquidation_price(10_000.0, 8_000.0, 2.0, 0.005, inverse=True) == pytest.approx(10_050 / 3.25)


@pytest.mark.parametrize(("size", "entry"), [(0.0, 100.0), (math.nan, 100.0), (1.0, 0.0), (1.0, math.inf)])
def test_a_position_without_size_or_price_has_no_liquidation_price(size, entry):
    with pytest.raises(ValueError, match="expected"):
        liquidation_price(size, entry, 1.0, 0.0)


def test_a_leg_in_a_higher_tier_is_liquidated_earlier_and_on_the_right_side_of_the_kink():
    # Rates 1 % to 1,000 and 2 % beyond, deduction 10. 20 units bought at 100 with 300 of equity: cash -1,700.
    # At 20 p > 1,000 the margin is 0.4 p - 10: 20 p - 1,700 = 0.4 p - 10 at 1,690 / 19.6.
    tiers = RiskTiers(read_tiers([(1_000, 0.01, 10), (2_000, 0.02, 5)]))
    liquidation = liquidate_on_slide(-1_700.0, [Leg(20.0, 100.0, 80.0, 0.0, tiers)])
    assert liquidation.prices == [pytest.approx(1_690 / 19.6)]
    # With 1,200 of equity it falls into the first tier: 20 p - 800 = 0.2 p at 800 / 19.8.
    liquidation = liquidate_on_slide(-800.0, [Leg(20.0, 100.0, 30.0, 0.0, tiers)])
    assert liquidation.prices == [pytest.approx(800 / 19.8)]
    # A short rises into the second: 1,200 - 10 p = 0.2 p - 10 at 1,210 / 10.2.
    liquidation = liquidate_on_slide(1_200.0, [Leg(-10.0, 90.0, 130.0, 0.0, tiers)])
    assert liquidation.prices == [pytest.approx(1_210 / 10.2)]
