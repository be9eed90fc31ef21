"""Risk tiers in the exchange's form: margin by position value, limits of leverage and of value."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies import Costs
from strategies.account.risk_tiers import RiskTiers, Tier, read_tiers
from tests.strategies.market import bars, equity_of, free_broker, run, trade

# The first rows of Bybit's BTCUSDT: 0.5 % up to 2,000,000, then 0.5 % more per tier, with its deductions.
BTC = [(2_000_000, 0.005, 100), (2_600_000, 0.0056, 90, 1_200), (3_200_000, 0.0062, 80, 2_760)]
SMALL = [(5_000, 0.01, 10), (20_000, 0.02, 5), (50_000, 0.05, 2)]


def test_the_deduction_keeps_the_margin_continuous():
    tiers = RiskTiers(read_tiers(BTC))
    assert tiers.maintenance(2_000_000) == pytest.approx(10_000)
    # 2,000,000 x 0.5 % + 500,000 x 0.56 % = 12,800.
    assert tiers.maintenance(2_500_000) == pytest.approx(12_800)
    assert tiers.initial(2_500_000, 100.0) == pytest.approx(2_500_000 / 90)
    assert tiers.initial(2_500_000, 10.0) == 250_000


def test_a_missing_deduction_is_computed():
    assert read_tiers(SMALL) == (
        Tier(5_000, 0.01, 10, 0.0),
        Tier(20_000, 0.02, 5, pytest.approx(50.0)),
        Tier(50_000, 0.05, 2, pytest.approx(650.0)),
    )


@given(low=st.floats(0, 60_000), high=st.floats(0, 60_000))
def test_more_value_never_needs_less_margin_and_the_margin_never_jumps(low, high):
    low, high = sorted((low, high))
    tiers = RiskTiers(read_tiers(SMALL))
    step = tiers.maintenance(high) - tiers.maintenance(low)
    assert -1e-9 <= step <= 0.05 * (high - low) + 1e-9


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([(1_000, 0.01)], "row 1 limit, maintenance rate, max leverage"),
        ([("a", 0.01, 10)], "row 1 limit"),
        ([(1_000, 0.2, 10)], "row 1 a leverage of at least 1 and a maintenance rate below 1 / leverage"),
        ([(1_000, 0.01, 10), (1_000, 0.02, 5)], "row 2 a higher limit"),
        ([(1_000, 0.02, 10), (2_000, 0.01, 5)], "row 2 a higher limit, no lower rate"),
        (
            [(1_000, 0.01, 10), (2_000, 0.02, 20)],
            "row 2 a higher limit, no lower rate and no higher leverage",
        ),
        ([(1_000, 0.01, 10), (2_000, 0.02, 5, 11)], "row 2 a deduction of 10"),
    ],
)
def test_a_table_that_is_no_table_of_tiers_is_refused_by_row(rows, message):
    with pytest.raises(ValueError, match=f"risk_tiers: expected in {message}"):
        Costs(risk_tiers=rows)


def test_one_tier_gives_the_numbers_of_the_plain_settings_bit_for_bit():
    market = [100, 100, (100, 103, 91, 95), (95, 99, 90.4, 92), 92]
    one = [(1e12, 0.005, 10)]
    for size in (990, 970, 400):
        plain = run(bars(market), {0: [trade(size)]}, free_broker(taker=0.0005))
        tiered = run(bars(market), {0: [trade(size)]}, free_broker(taker=0.0005, risk_tiers=one))
        assert equity_of(plain) == equity_of(tiered)


def test_a_larger_position_gets_less_leverage_and_none_beyond_the_last_limit():
    # 10,000 of equity: 20,000 at 5x need 4,000, 22,000 at 2x need 11,000; 51,000 are beyond the limit.
    broker = free_broker(risk_tiers=SMALL)
    assert run(bars([100] * 3), {0: [trade(200)]}, broker).notices == [(1, "Completed", 200.0)]
    assert run(bars([100] * 3), {0: [trade(220)]}, broker).notices == [(1, "Margin", 0.0)]
    rich = run(bars([100] * 3), {0: [trade(510)]}, broker, cash=1_000_000.0)
    assert rich.notices == [(1, "Margin", 0.0)]


def test_a_larger_position_is_liquidated_earlier():
    # 190 at 100 with 3,900: cash -15,100; 190 p - 15,100 = 0.02 x 190 p - 50 at 15,050 / 186.2 = 80.83.
    market = bars([100, 100, (100, 100, 80.5, 90), 90])
    strategy = run(market, {0: [trade(190)]}, free_broker(risk_tiers=SMALL), cash=3_900.0)
    orders = strategy.analyzers.orders.get_analysis()
    assert orders["price"][1] == pytest.approx(15_050 / 186.2)
    assert equity_of(strategy)[-1] == 0.0
