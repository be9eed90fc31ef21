"""What one position is worth, at its worst and against its margin, by hand."""

import backtrader as bt
import pytest

from strategies.account.holdings import Holding, Stake, equity_and_maintenance, is_margined, only_reduces
from tests.strategies.market import bars, free_broker, free_commission, run, trade


def on_each_bar(prices, size, look):
    """Return what `look(holding)` says on each bar of a holding of `size` units made on the second bar."""
    said = []

    class Look(bt.Strategy):
        def next(self):
            if len(self) == 2:
                position = bt.Position(size, 100.0)
                self.holding = Holding(self.data, position, free_commission(maintenance_margin=0.01))
            if len(self) >= 2:
                said.append(look(self.holding))

    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(bars(prices))
    cerebro.addstrategy(Look)
    cerebro.run()
    return said


def holding_of(size, **terms):
    [holding] = on_each_bar([100.0, 100.0], size, lambda holding: holding)
    return Holding(holding.data, holding.position, free_commission(**terms))


def book(*entries):
    """Return the book of (holding, size, price) for `is_margined`."""
    return {holding: Stake(size, price, 0.0, 0.0) for holding, size, price in entries}


PRICES = [(100, 104, 96, 101), (102, 109, 98, 105), (107, 120, 99, 118)]


def test_a_holding_starts_at_the_close_it_was_decided_on_and_moves_to_the_next_open():
    marks = []

    def look(holding):
        if marks:
            holding.turn_bar()
        marks.append((holding.last, holding.mark))

    on_each_bar(PRICES, 1.0, look)
    assert marks == [(105.0, 105.0), (105.0, 107.0)]


@pytest.mark.parametrize(("size", "worst"), [(2.0, 99.0), (0.5, 99.0), (-0.5, 120.0), (-2.0, 120.0)], ids=str)
def test_the_worst_price_of_a_bar_is_its_low_for_a_long_and_its_high_for_a_short(size, worst):
    found = []

    def look(holding):
        if not found:  # no bar has passed since the decision: only the close can count
            found.append(holding.adverse())
            return
        holding.turn_bar()
        found.append(holding.adverse())

    on_each_bar(PRICES, size, look)
    assert found == [105.0, worst]


def test_a_data_without_a_new_bar_stays_where_it_was_marked():
    found = []

    def look(holding):
        holding.turn_bar()
        holding.mark = 118.0
        holding.turn_bar()
        found.append((holding.fresh, holding.last, holding.mark, holding.adverse()))

    on_each_bar(PRICES, 1.0, look)
    assert found == [(False, 118.0, 118.0, 118.0)] * 2


def test_equity_adds_longs_and_takes_shorts_off_and_both_need_maintenance():
    # 1000 + 3 x 200 - 2 x 50 = 1500; 1 % of 600 and 5 % of 100.
    long, short = holding_of(3.0, maintenance_margin=0.01), holding_of(-2.0, maintenance_margin=0.05)
    equity, need = equity_and_maintenance(1_000.0, [(long, 200.0), (short, 50.0)])
    assert equity == 1_500.0
    assert need == pytest.approx(6.0 + 5.0)


def test_an_account_that_holds_nothing_is_its_cash_and_needs_nothing():
    assert equity_and_maintenance(7.0, []) == (7.0, 0.0)
    assert is_margined(0.0, {})
    assert not is_margined(-0.01, {})


@pytest.mark.parametrize(("cash", "enough"), [(-450.0, True), (-450.01, False), (-400.0, True)])
def test_equity_must_reach_the_initial_margin_and_may_just_reach_it(cash, enough):
    # 3 x 200 - 2 x 25 = 550 of positions; 600 / 10 + 50 / 1.25 = 100 of margin: cash may fall to -450.
    long = holding_of(0.0, margin_leverage=10.0)
    short = holding_of(0.0, margin_leverage=1.25)
    assert is_margined(cash, book((long, 3.0, 200.0), (short, -2.0, 25.0))) is enough


def test_a_fraction_of_a_coin_needs_a_fraction_of_a_unit_of_money():
    # Half a unit at 3 is worth 1.5; at 4x it needs 0.375.
    half = holding_of(0.0, margin_leverage=4.0)
    assert is_margined(-1.125, book((half, 0.5, 3.0)))
    assert not is_margined(-1.126, book((half, 0.5, 3.0)))


@pytest.mark.parametrize(
    ("held", "size", "reduces"),
    [
        (10.0, -4.0, True),
        (10.0, -5.0, True),
        (10.0, -10.0, True),
        (-10.0, 3.0, True),
        (-10.0, 10.0, True),
        (10.0, -10.1, False),
        (-10.0, 10.1, False),
        (10.0, 4.0, False),
        (-10.0, -4.0, False),
        (0.0, 4.0, False),
        (0.0, -4.0, False),
    ],
)
def test_only_what_goes_towards_zero_and_not_beyond_it_reduces(held, size, reduces):
    assert only_reduces(held, size) is reduces


def test_half_a_coin_sold_short_is_liquidated_by_the_high():
    # Equity of 1000 carries half a coin short at 20 000: cash 11 000.
    # 11 000 - p / 2 = 0.005 p / 2  ->  p = 22 000 / 1.005 = 21 890.55: below the high, above the low.
    market = bars([20_000, 20_000, (20_000, 22_500, 19_000, 20_000), 20_000])
    broker = free_broker(margin_leverage=25.0)
    strategy = run(market, {0: [trade(-0.5)]}, broker, cash=1_000.0)
    orders = strategy.analyzers.orders.get_analysis()
    assert orders["liquidation"].tolist() == [False, True]
    assert orders["price"][1] == pytest.approx(22_000 / 1.005)
