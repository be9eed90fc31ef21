"""Fills, fees and margin of the perpetual account, against amounts computed by hand."""

from datetime import timedelta

import backtrader as bt
import pytest

from strategies.account.broker import PerpetualBroker
from strategies.analyzers import Orders
from tests.strategies.market import bars, equity_of, free_broker, free_commission, hold, run, trade


def orders_of(strategy_class, data):
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(data)
    cerebro.setbroker(free_broker())
    cerebro.addstrategy(strategy_class)
    cerebro.addanalyzer(Orders)
    return cerebro.run()[0].analyzers.orders.get_analysis()


def statuses(strategy):
    return [status for _, status, _ in strategy.notices]


@pytest.mark.parametrize(("size", "price"), [(10.0, 101.0), (-10.0, 99.0)])
def test_c8_slippage_is_applied_in_full_beyond_the_range_of_the_bar(size, price):
    strategy = run(bars([100, 100, 100]), {0: [trade(size)]}, free_broker(slippage=0.01))
    orders = strategy.analyzers.orders.get_analysis()
    assert orders["price"].tolist() == [pytest.approx(price)]
    assert orders["reference_price"].tolist() == [100.0]
    assert orders["slippage"].tolist() == [pytest.approx(10.0)]
    assert equity_of(strategy)[1] == pytest.approx(9_990.0)


def test_fee_and_slippage_come_off_equity_once():
    # Buy 10 at 100 x 1.0002 = 100.02: fee 1000.2 x 0.00055 = 0.55011, slippage 0.2.
    strategy = run(bars([100, 100, 100]), {0: [trade(10)]}, PerpetualBroker())
    assert equity_of(strategy)[1] == pytest.approx(10_000 - 0.2 - 0.55011)
    assert strategy.broker.getcash() == pytest.approx(10_000 - 1_000.2 - 0.55011)
    assert strategy.broker.getvalue([strategy.data]) == 1_000.0


@pytest.mark.parametrize("side", [1.0, -1.0])
@pytest.mark.parametrize(("multiple", "status"), [(9.9, "Completed"), (10.0, "Margin"), (15.0, "Margin")])
def test_both_sides_need_margin_and_the_fee_on_top(side, multiple, status):
    # At 10x the fee of 10 000 x 10 x 0.001 = 100 is missing; 9.9x needs 9900 + 99.
    strategy = run(
        bars([100] * 4), {0: [trade(side * 100 * multiple)]}, free_broker(taker=0.001), cash=10_000.0
    )
    assert statuses(strategy) == [status]


def test_c5_an_order_without_margin_is_told_and_counted():
    strategy = run(bars([100] * 4), {0: [hold(20.0)]})
    assert strategy.notices == [(1, "Margin", 0.0)]
    orders = strategy.analyzers.orders.get_analysis()
    assert orders["status"] == ["margin"]
    assert orders["size"].tolist() == [0.0]
    assert orders["requested"].tolist() == [2_000.0]


def test_symbols_share_one_margin_at_submission_in_the_order_they_came():
    datas = [bars([100] * 4, symbol="A"), bars([100] * 4, symbol="B")]
    strategy = run(datas, {0: [trade(600, 0), trade(-600, 1), trade(300, 1)]})
    assert statuses(strategy) == ["Margin", "Completed", "Completed"]
    assert [strategy.getposition(data).size for data in strategy.datas] == [600.0, 300.0]


def test_a_price_that_runs_away_before_the_fill_is_tested_again():
    # 9.9x at the close of 100; at the open of 105 equity of 10 000 carries 952 units, not 990.
    strategy = run(bars([100, 105, 105]), {0: [trade(990)]})
    assert statuses(strategy) == ["Margin"]
    assert strategy.position.size == 0.0


def test_a_flip_without_margin_at_the_fill_closes_and_opens_nothing():
    # Long 500 at 100, flipped to 900 short at the open of 95: equity 7500 carries 789 units.
    strategy = run(bars([100, 100, 95, 95]), {0: [trade(500)], 1: [trade(-1400)]}, free_broker(taker=0.001))
    assert strategy.notices[-1][1:] == ("Margin", -500.0)
    assert strategy.position.size == 0.0
    orders = strategy.analyzers.orders.get_analysis()
    assert orders["status"] == ["completed", "margin"]
    assert orders["fee"].tolist() == pytest.approx([50.0, 47.5])
    assert equity_of(strategy)[-1] == pytest.approx(10_000 - 2_500 - 97.5)


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_an_order_that_reduces_always_passes(side):
    # 10x the equity, 8 % under water: no margin is left, and half of it can be sold.
    close = 100.0 - 8.0 * side
    strategy = run(bars([100, 100, close, close]), {0: [trade(1000 * side)], 2: [trade(-500 * side)]})
    assert statuses(strategy) == ["Completed", "Completed"]
    assert strategy.position.size == 500.0 * side


def test_orders_of_lots_leave_no_dust_and_the_trade_closes():
    closed = []

    class Lots(bt.Strategy):
        def next(self):
            size = {1: 0.1, 2: 0.2, 3: -0.3}.get(len(self))
            if size:
                self.buy(size=size) if size > 0 else self.sell(size=-size)

        def notify_trade(self, trade):
            if trade.isclosed:
                closed.append(trade.pnl)

    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(bars([100, 100, 100, 110, 110, 110]))
    cerebro.setbroker(free_broker())
    cerebro.addstrategy(Lots)
    strategy = cerebro.run()[0]
    assert strategy.position.size == 0.0
    assert closed == [pytest.approx(0.1 * 10 + 0.2 * 10)]


@pytest.mark.parametrize(
    ("size", "limit", "bar", "price", "fee"),
    [
        (10.0, 95.0, (100, 101, 94, 99), 95.0, 950 * 0.0002),  # waits for its price: maker
        (10.0, 95.0, (90, 101, 89, 99), 90 * 1.01, 909 * 0.001),  # opens through it: taker, slipped
        (10.0, 90.5, (90, 101, 89, 99), 90.5, 905 * 0.001),  # never worse than the limit
        (-10.0, 105.0, (100, 106, 99, 101), 105.0, 1050 * 0.0002),
        (-10.0, 105.0, (110, 111, 99, 101), 110 * 0.99, 1089 * 0.001),
        (-10.0, 109.5, (110, 111, 99, 101), 109.5, 1095 * 0.001),
    ],
)
def test_a_limit_order_pays_maker_when_it_waits_and_taker_when_it_crosses(size, limit, bar, price, fee):
    broker = free_broker(slippage=0.01, taker=0.001, maker=0.0002)
    order = trade(size, price=limit, exectype=bt.Order.Limit)
    strategy = run(bars([100, bar, 100]), {0: [order]}, broker)
    orders = strategy.analyzers.orders.get_analysis()
    assert orders["price"].tolist() == pytest.approx([price])
    assert orders["fee"].tolist() == pytest.approx([fee])


def test_a_stop_slips_from_its_trigger():
    stop = trade(-10, price=95.0, exectype=bt.Order.Stop)
    strategy = run(
        bars([100, 100, (100, 100, 90, 92), 92]), {0: [trade(10)], 1: [stop]}, free_broker(slippage=0.01)
    )
    orders = strategy.analyzers.orders.get_analysis()
    assert orders["price"].tolist() == pytest.approx([101.0, 95.0 * 0.99])
    assert orders["slippage"].tolist() == pytest.approx([10.0, 9.5])


def test_an_order_that_expires_is_counted():
    order = trade(1, price=50.0, exectype=bt.Order.Limit, valid=timedelta(hours=1))
    strategy = run(bars([100] * 5), {0: [order]})
    assert strategy.analyzers.orders.get_analysis()["status"] == ["expired"]


def test_an_order_that_is_canceled_is_counted():
    class Canceling(bt.Strategy):
        def next(self):
            if len(self) == 1:
                self.order = self.buy(size=1, price=50.0, exectype=bt.Order.Limit)
            if len(self) == 3:
                self.cancel(self.order)

    assert orders_of(Canceling, bars([100] * 5))["status"] == ["canceled"]


def test_the_bar_on_which_an_order_was_decided_never_fills_it():
    # SLOW has one bar, with a low of 90, and FAST ticks on; a limit at 95 waits for SLOW's next bar, which never comes.
    slow = bars([(100, 100, 90, 100)], symbol="SLOW")
    order = trade(1, price=95.0, exectype=bt.Order.Limit)
    assert run([slow, bars([10] * 6, symbol="FAST")], {0: [order]}).notices == [(1, "Canceled", 0.0)]


def test_brackets_protect_from_the_fill_of_their_entry():
    class Bracket(bt.Strategy):
        def next(self):
            if len(self) == 1:
                self.buy_bracket(size=10, exectype=bt.Order.Market, stopprice=95.0, limitprice=110.0)

    orders = orders_of(Bracket, bars([100, 100, (100, 101, 94, 96), 120]))
    assert orders["status"] == ["completed", "completed", "canceled"]
    assert orders["price"][:2].tolist() == [100.0, 95.0]
    assert orders["size"].tolist() == [10.0, -10.0, 0.0]


def test_the_exits_of_a_bracket_need_no_margin_before_its_entry():
    # Bought 300 and sold 900 at once: 600 short. With both exits of the bracket it would be 1200.
    class Both(bt.Strategy):
        def next(self):
            if len(self) == 1:
                self.buy_bracket(size=300, exectype=bt.Order.Market, stopprice=50.0, limitprice=150.0)
                self.sell(size=900)

    orders = orders_of(Both, bars([100, 100, 100]))
    assert orders["status"] == ["completed", "completed"]
    assert orders["size"].tolist() == [300.0, -900.0]


def test_a_volume_filler_fills_in_parts_and_the_order_is_one_row():
    broker = PerpetualBroker(slippage=0.0, commission=free_commission(taker=0.001), filler=lambda *_: 4.0)
    strategy = run(bars([100, 100, 110, 120, 120]), {0: [trade(10)]}, broker)
    orders = strategy.analyzers.orders.get_analysis()
    assert orders["size"].tolist() == [10.0]
    assert orders["price"].tolist() == [pytest.approx((400 + 440 + 240) / 10)]
    assert orders["fee"].tolist() == [pytest.approx(1.08)]


def test_a_deposit_is_cash_and_an_account_can_be_used_again():
    broker = free_broker()
    for _ in range(2):
        strategy = run(bars([100, 100, 110]), {0: [trade(10)]}, broker)
        assert equity_of(strategy) == [10_000.0, 10_000.0, 10_100.0]
    broker.add_cash(50.0)
    assert broker.getvalue([strategy.data]) == 1_100.0
    assert broker.getcash() == 9_050.0


def test_closing_auctions_are_refused():
    with pytest.raises(ValueError, match="send a market order"):
        run(bars([100] * 3), {0: [trade(1, exectype=bt.Order.Close)]})
