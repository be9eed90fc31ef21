"""What a fill writes into the books, what a refusal leaves alone, and what an account is worth, by hand."""

from datetime import timedelta

import backtrader as bt
import pytest

from strategies.account.broker import PerpetualBroker
from tests.strategies.market import bars, equity_of, free_broker, free_commission, run, trade


class Fills(bt.Strategy):
    """Keep (closed, its value, its fee, opened, its value, its fee, profit, held, entry) of each fill."""

    params = (("sizes", None),)

    def __init__(self):
        self.fills = []

    def next(self):
        size = self.p.sizes.get(len(self) - 1)
        if size:
            self.buy(size=size) if size > 0 else self.sell(size=-size)

    def notify_order(self, order):
        for fill in order.executed.iterpending():
            closed = (fill.closed, fill.closedvalue, fill.closedcomm)
            opened = (fill.opened, fill.openedvalue, fill.openedcomm)
            self.fills.append((*closed, *opened, fill.pnl, fill.psize, fill.pprice))


def fills_of(sizes, prices, broker):
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(bars(prices))
    cerebro.setbroker(broker)
    cerebro.addstrategy(Fills, sizes=sizes)
    return cerebro.run()[0].fills


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_a_flip_is_booked_as_what_it_closes_and_what_it_opens(side):
    # 10 at 100, then 15 the other way at 110: 10 are closed, 5 are opened; the fee is 0.1 % of each.
    sizes = {0: 10 * side, 1: -15 * side}
    fills = fills_of(sizes, [100, 100, 110, 110], free_broker(taker=0.001))
    assert fills[0] == (0, 0, 0, 10 * side, 1_000 * side, pytest.approx(1.0), 0, 10 * side, 100)
    assert fills[1] == (
        *(-10 * side, 1_000 * side, pytest.approx(1.1)),
        *(-5 * side, -550 * side, pytest.approx(0.55)),
        *(100 * side, -5 * side, 110),
    )


def test_a_part_sold_is_booked_at_its_entry_and_the_rest_keeps_it():
    # 10 at 100 and 10 at 120 stand at 110; 5 of them, sold at 130, gain 100.
    fills = fills_of({0: 10, 1: 10, 2: -5}, [100, 100, 120, 130, 130], free_broker(taker=0.001))
    assert fills[1][-2:] == (20, 110)
    assert fills[2] == (-5, 550, pytest.approx(0.65), 0, 0, 0, 100, 15, 110)


def test_a_fill_bears_the_time_of_the_bar_that_made_it():
    orders = run(bars([100] * 4), {0: [trade(10)], 1: [trade(-10)]}).analyzers.orders.get_analysis()
    assert (orders["time"] - orders["decided"]).tolist() == [3_600_000] * 2


def test_an_addition_without_margin_at_the_fill_leaves_what_is_held():
    # 500 held, 440 more. At 100 equity of 9950 - 44 covers 94 000 / 9.5 = 9895; at the open of 90 equity is
    # 9950 - 5000 - 39.6 and 84 600 / 9.5 = 8905 are needed.
    broker = free_broker(taker=0.001, margin_leverage=9.5)
    strategy = run(bars([100, 100, 90, 90]), {0: [trade(500)], 1: [trade(440)]}, broker)
    assert strategy.notices == [(1, "Completed", 500.0), (2, "Margin", 0.0)]
    assert strategy.position.size == 500.0
    assert equity_of(strategy)[-1] == pytest.approx(10_000 - 50 - 5_000)


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_a_volume_filler_fills_both_sides_in_parts(side):
    broker = PerpetualBroker(slippage=0.0, commission=free_commission(), filler=lambda *_: 4.0)
    strategy = run(bars([100, 100, 100, 100, 110]), {0: [trade(10 * side)]}, broker)
    assert strategy.notices == [(3, "Completed", 10.0 * side)]
    assert strategy.broker.getvalue([strategy.data]) == 1_100.0 * side
    assert equity_of(strategy) == [10_000.0] * 4 + [10_000.0 + 100.0 * side]


def test_a_bar_without_volume_fills_nothing_and_the_order_waits():
    volumes = iter([0.0, 10.0])
    broker = PerpetualBroker(slippage=0.0, commission=free_commission(), filler=lambda *_: next(volumes))
    strategy = run(bars([100, 100, 105, 105]), {0: [trade(10)]}, broker)
    assert strategy.notices == [(2, "Completed", 10.0)]
    assert strategy.broker.getcash() == 10_000.0 - 1_050.0


def test_an_order_after_one_without_margin_is_filled_on_the_same_bar():
    strategy = run(bars([100, 100, 110]), {0: [trade(2_000), trade(10)]})
    assert strategy.notices == [(1, "Margin", 0.0), (1, "Completed", 10.0)]


def test_the_exits_of_an_entry_without_margin_are_rejected_and_hold_nobody_up():
    ends = []

    class Bracket(bt.Strategy):
        def next(self):
            if len(self) == 1:
                self.buy_bracket(size=2_000, exectype=bt.Order.Market, stopprice=95.0, limitprice=110.0)
                self.buy(size=10)

        def notify_order(self, order):
            if not order.alive():
                ends.append((len(self), order.getstatusname()))

    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(bars([100, 100, (100, 120, 90, 100), 100]))
    cerebro.setbroker(free_broker())
    cerebro.addstrategy(Bracket)
    strategy = cerebro.run()[0]
    assert ends == [(2, "Margin"), (2, "Rejected"), (2, "Rejected"), (2, "Completed")]
    assert strategy.position.size == 10.0


def test_the_exits_of_an_entry_that_expires_are_canceled_with_it():
    ends = []

    class Bracket(bt.Strategy):
        def next(self):
            if len(self) == 1:
                self.buy_bracket(
                    size=10, price=90.0, stopprice=80.0, limitprice=110.0, valid=timedelta(hours=1)
                )

        def notify_order(self, order):
            if not order.alive():
                ends.append((order.getstatusname(), order.created.size))

    cerebro = bt.Cerebro(stdstats=False)
    # The bars after its end would fill the exits: first the limit, then the stop.
    cerebro.adddata(bars([100, 100, 100, (100, 120, 100, 100), (100, 100, 70, 100), 100]))
    cerebro.setbroker(free_broker())
    cerebro.addstrategy(Bracket)
    strategy = cerebro.run()[0]
    assert ends == [("Expired", 10.0), ("Canceled", -10.0), ("Canceled", -10.0)]
    assert strategy.position.size == 0.0


def test_what_was_accepted_before_counts_at_the_close_it_was_decided_on():
    # Bought at 100 what stood at 50 a bar ago: 600 A and 300 B are 9x the equity.
    datas = [bars([50, 100, 100], symbol="A"), bars([50, 100, 100], symbol="B")]
    strategy = run(datas, {1: [trade(600, 0), trade(300, 1)]})
    assert strategy.notices == [(2, "Completed", 600.0), (2, "Completed", 300.0)]


def test_a_fee_that_the_first_order_pays_is_missing_for_the_second():
    # 500 + 490 units at 100 are 9.9x: their margin is 9900, and the fees of 1 % take 990.
    orders = {0: [trade(500), trade(490)]}
    assert [status for _, status, _ in run(bars([100] * 3), orders).notices] == ["Completed", "Completed"]
    strategy = run(bars([100] * 3), orders, free_broker(taker=0.01))
    # The refusal comes at submission: it is heard before the fill.
    assert [status for _, status, _ in strategy.notices] == ["Margin", "Completed"]


@pytest.mark.parametrize(("gap", "end"), [(100, "Completed"), (125, "Margin")])
def test_one_order_of_a_group_ends_the_other_when_it_is_filled_and_when_it_is_refused(gap, end):
    # 900 pass at the close of 100; at the open of 125 equity of 10 000 carries 800.
    ends = []

    class Group(bt.Strategy):
        def next(self):
            if len(self) == 1:
                entry = self.buy(size=900)
                self.sell(size=5, price=150.0, exectype=bt.Order.Limit, oco=entry)

        def notify_order(self, order):
            if not order.alive():
                ends.append((len(self), order.getstatusname()))

    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(bars([100, gap, gap]))
    cerebro.setbroker(free_broker())
    cerebro.addstrategy(Group)
    cerebro.run()
    assert ends == [(2, end), (2, "Canceled")]


def test_the_worth_of_positions_is_signed_and_apart_from_cash():
    strategy = run(
        [bars([100, 100, 110], symbol="A"), bars([50, 50, 40], symbol="B")],
        {0: [trade(30, 0), trade(-20, 1)]},
    )
    broker = strategy.broker
    assert broker.getcash() == 10_000.0 - 3_000.0 + 1_000.0
    assert broker.getvalue() == 10_000.0 + 300.0 + 200.0
    assert broker.getvalue(mkt=True) == 3_300.0 - 800.0
    assert broker.getvalue(strategy.datas) == 3_300.0 - 800.0
    assert broker.getvalue([strategy.datas[1]]) == -800.0
    assert broker.get_leverage() == pytest.approx(4_100 / 10_500)


@pytest.mark.parametrize(
    ("size", "bar", "price", "sides"),
    [
        # Equity of 1000 carries half a coin at 20 000: p / 2 - 9000 = 0.005 p / 2, and 11 000 - p / 2 for a short.
        (0.5, (20_000, 20_000, 17_000, 20_000), 18_000 / 0.995, ["buy", "sell"]),
        (-0.5, (20_000, 23_000, 20_000, 20_000), 22_000 / 1.005, ["sell", "buy"]),
    ],
)
def test_a_liquidation_of_half_a_coin_trades_the_other_side(size, bar, price, sides):
    strategy = run(bars([20_000, 20_000, bar, 20_000]), {0: [trade(size)]}, cash=1_000.0)
    orders = strategy.analyzers.orders.get_analysis()
    assert orders["side"] == sides
    assert orders["size"].tolist() == [size, -size]
    assert orders["price"][1] == pytest.approx(price)
