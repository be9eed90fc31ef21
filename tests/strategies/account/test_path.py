"""The order of events in a bar: where it is unknown, the account takes the worse."""

import backtrader as bt
import pytest
from backtrader.order import BuyOrder, Order, SellOrder

from strategies.account.broker import PerpetualBroker
from strategies.account.path import fills_at_open, is_touched, met_at
from strategies.account.perpetual import PerpetualCommission
from tests.strategies.market import bars, equity_of, free_broker, run, trade

LONG_LINE = 85_052.25 / (950 * 0.995)  # 950 bought at 100 with 10,000: cash 10,000 - 95,000 - 52.25


def stop(size, price):
    return trade(size, price=price, exectype=Order.Stop)


def limit(size, price):
    return trade(size, price=price, exectype=Order.Limit)


def taker_broker(**more):
    return free_broker(taker=0.00055, **more)


def liquidated(strategy):
    return strategy.broker.liquidations, strategy.broker.insurance


@pytest.mark.parametrize("price", [89.8, 85.0, 80.0])
def test_a_stop_beyond_the_liquidation_price_cannot_save_a_dead_account(price):
    # 89.979 comes before the stop on any path from 100: one liquidation, nothing left, no insurance.
    market = bars([100, 100, (100, 100, 80, 84), 84])
    strategy = run(market, {0: [trade(950)], 1: [stop(-950, price)]}, taker_broker())
    orders = strategy.analyzers.orders.get_analysis()
    assert equity_of(strategy)[2:] == [0.0, 0.0]
    assert liquidated(strategy) == (1, 0.0)
    assert orders["liquidation"].tolist() == [False, False, True]
    assert orders["status"] == ["completed", "canceled", "completed"]
    assert orders["price"][2] == pytest.approx(LONG_LINE)


def test_a_stop_that_must_be_met_before_the_liquidation_saves():
    # Sold at 91: 950 x 91 = 86,450; cash 10,000 - 95,000 - 52.25 + 86,450 - 47.5475.
    market = bars([100, 100, (100, 100, 80, 84), 84])
    strategy = run(market, {0: [trade(950)], 1: [stop(-950, 91.0)]}, taker_broker())
    assert equity_of(strategy)[-1] == pytest.approx(1_350.2025)
    assert liquidated(strategy) == (0, 0.0)


@pytest.mark.parametrize(("price", "equity"), [(110.2, 0.0), (108.0, 10_000 - 950 * 8.0)])
def test_a_short_is_treated_alike(price, equity):
    # 950 sold at 100: 105,000 - 950 p = 0.005 x 950 p at 109.976.
    market = bars([100, 100, (100, 120, 100, 116), 116])
    strategy = run(market, {0: [trade(-950)], 1: [stop(950, price)]})
    assert equity_of(strategy)[-1] == pytest.approx(equity)
    assert liquidated(strategy) == (int(equity == 0.0), 0.0)


def test_a_profit_cannot_be_taken_in_the_bar_that_may_liquidate_first():
    market = bars([100, 100, (100, 130, 80, 120), 120])
    strategy = run(market, {0: [trade(950)], 1: [limit(-950, 120.0)]})
    assert equity_of(strategy)[-1] == 0.0
    assert liquidated(strategy) == (1, 0.0)
    # The same profit in a bar that does not reach the liquidation price is taken.
    strategy = run(bars([100, 100, (100, 130, 95, 120), 120]), {0: [trade(950)], 1: [limit(-950, 120.0)]})
    assert equity_of(strategy)[-1] == 10_000.0 + 950 * 20.0


def test_a_purchase_on_the_way_down_comes_before_the_liquidation_that_it_causes():
    # 500 at 100 and 400 at 95 are bought for 88,000: 900 p - 78,000 = 4.5 p at 87.102; without the 400 none at 84.
    market = bars([100, 100, (100, 100, 84, 84), 84])
    strategy = run(market, {0: [trade(500)], 1: [limit(400, 95.0)]}, free_broker(margin_leverage=20.0))
    orders = strategy.analyzers.orders.get_analysis()
    assert orders["price"].tolist() == pytest.approx([100.0, 95.0, 78_000 / 895.5])
    assert equity_of(strategy)[-1] == 0.0
    assert equity_of(run(market_again(), {0: [trade(500)]}))[-1] == 10_000.0 - 500 * 16.0


def market_again():
    return bars([100, 100, (100, 100, 84, 84), 84])


def test_a_stop_after_a_purchase_on_the_way_down_saves_when_it_comes_first():
    # 900 at an average of 97.78: the stop at 90 for all is met before 87.102.
    market = bars([100, 100, (100, 100, 84, 84), 84])
    orders = {0: [trade(500)], 1: [stop(-900, 90.0), limit(400, 95.0)]}
    strategy = run(market, orders, free_broker(margin_leverage=20.0))
    assert equity_of(strategy)[-1] == 10_000.0 - 500 * 10.0 - 400 * 5.0
    assert liquidated(strategy) == (0, 0.0)


def test_the_margin_of_a_purchase_on_the_way_is_that_of_its_price():
    # 500 held at 100; at 92 equity is 6,000 and 10 x 6,000 / 92 = 652 units are the most: 170 more are not allowed.
    market = bars([100, 100, (100, 100, 91, 91), 91])
    strategy = run(market, {0: [trade(500)], 1: [limit(170, 92.0)]})
    assert [status for _, status, _ in strategy.notices] == ["Completed", "Margin"]
    assert strategy.position.size == 500.0


@pytest.mark.parametrize("first", ["stop", "limit"])
def test_of_a_loss_and_a_profit_in_one_bar_the_loss_comes_first(first):
    class Exits(bt.Strategy):
        def next(self):
            if len(self) == 1:
                self.buy(size=10)
            if len(self) == 2:
                loss, profit = (
                    {"price": 95.0, "exectype": Order.Stop},
                    {"price": 110.0, "exectype": Order.Limit},
                )
                one, two = (loss, profit) if first == "stop" else (profit, loss)
                self.sell(size=10, **two, oco=self.sell(size=10, **one))

    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(bars([100, 100, (100, 115, 90, 100), 100]))
    cerebro.setbroker(free_broker())
    cerebro.addstrategy(Exits)
    strategy = cerebro.run()[0]
    assert cerebro.broker.getvalue() == 10_000.0 - 10 * 5.0
    assert strategy.position.size == 0.0


@pytest.mark.parametrize(
    ("bar", "size", "price", "margin", "closed"),
    [
        # Sold at 98, and the bar may return to 108: 9.8 + 98 - p = 0.5 % of p.
        ((108, 108.2, 97, 98), -1.0, 98.0, 9.8, 107.8 / 1.005),
        # Bought at 102, and the bar may return to 91: 10.2 + p - 102 = 0.5 % of p.
        ((92, 103, 91, 102), 1.0, 102.0, 10.2, 91.8 / 0.995),
    ],
)
def test_an_isolated_position_that_a_bar_opens_and_liquidates_loses_its_margin(
    bar, size, price, margin, closed
):
    market = bars([bar[0], bar[0], bar, bar[3]])
    strategy = run(market, {1: [stop(size, price)]}, free_broker(margin_mode="isolated"))
    assert equity_of(strategy)[2:] == [pytest.approx(10_000 - margin)] * 2
    assert liquidated(strategy) == (1, 0.0)
    assert strategy.analyzers.orders.get_analysis()["price"].tolist() == [price, pytest.approx(closed)]


def test_a_stop_of_one_symbol_saves_only_if_the_others_leave_it_the_time():
    # 450 A and 450 B at 100. If B falls to 88 first, equity is 4,600 when A begins to fall: A's stop at 95 would be met
    # with equity 4,600 - 2,250 = 2,350, which is above the margin: it is certain. At B = 80 it is not.
    def equity(b_low):
        datas = [
            bars([100, 100, (100, 100, 80, 80), 80], symbol="A"),
            bars([100, 100, (100, 100, b_low, b_low), b_low], symbol="B"),
        ]
        orders = {
            0: [trade(450, 0), trade(450, 1)],
            1: [("sell", {"size": 450, "price": 95.0, "exectype": Order.Stop}, 0)],
        }
        strategy = run(datas, orders)
        return equity_of(strategy)[-1], strategy.broker.liquidations

    assert equity(88.0) == (pytest.approx(10_000 - 450 * 5.0 - 450 * 12.0), 0)
    assert equity(80.0) == (0.0, 2)


def test_a_stop_that_opens_beyond_its_price_is_filled_at_the_open():
    # The gap to 92 is above the liquidation price: the stop at 95 is a market order there.
    market = bars([100, 100, (92, 92, 80, 80), 80])
    strategy = run(market, {0: [trade(950)], 1: [stop(-950, 95.0)]})
    assert equity_of(strategy)[-1] == 10_000.0 - 950 * 8.0


def order(kind, size, price, plimit=None, *, triggered=False):
    made = (BuyOrder if size > 0 else SellOrder)(
        data=None, size=abs(size), exectype=kind, price=price, pricelimit=plimit, simulated=True
    )
    made.triggered = triggered
    return made


@pytest.mark.parametrize(
    ("kind", "size", "price", "plimit", "at_open", "touched", "met_down", "met_up"),
    [
        # The bar: open 100, high 110, low 90.
        (Order.Market, 1, None, None, True, True, None, None),
        (Order.Limit, 1, 101, None, True, True, None, None),
        (Order.Limit, 1, 95, None, False, True, 95, None),
        (Order.Limit, 1, 89, None, False, False, None, None),
        (Order.Limit, -1, 99, None, True, True, None, None),
        (Order.Limit, -1, 105, None, False, True, None, 105),
        (Order.Stop, -1, 95, None, False, True, 95, None),
        (Order.Stop, -1, 100, None, True, True, None, None),
        (Order.Stop, -1, 89, None, False, False, None, None),
        (Order.Stop, 1, 105, None, False, True, None, 105),
        (Order.Stop, 1, 111, None, False, False, None, None),
        (Order.StopLimit, -1, 95, 94, False, True, 95, None),
        (Order.StopLimit, -1, 95, 96, False, True, None, None),
        (Order.StopLimit, 1, 105, 106, False, True, None, 105),
        (Order.StopLimit, 1, 105, 104, False, True, None, None),
        (Order.StopLimit, -1, 101, 99, True, True, None, None),
        (Order.StopLimit, -1, 101, 103, False, True, None, None),
    ],
)
def test_where_an_order_is_filled(kind, size, price, plimit, at_open, touched, met_down, met_up):
    placed = order(kind, size, price, plimit)
    assert fills_at_open(placed, 100.0) is at_open
    if kind != Order.Market:
        assert (at_open or is_touched(placed, 100.0, 110.0, 90.0)) is touched
        assert met_at(placed, 100.0, 90.0) == met_down
        assert met_at(placed, 100.0, 110.0) == met_up


def test_a_stop_limit_that_was_triggered_is_a_limit_order():
    placed = order(Order.StopLimit, -1, 95.0, 98.0, triggered=True)
    assert fills_at_open(placed, 99.0)
    assert not fills_at_open(placed, 97.0)
    assert is_touched(placed, 97.0, 98.5, 90.0)
    assert met_at(placed, 97.0, 99.0) == 98.0
    assert met_at(placed, 97.0, 90.0) is None


def test_a_trailing_stop_follows_the_close_once_a_bar():
    # Bought at 100, trailing by 5: the stop is at 95, at 105 after a close of 110, and the low of 104 meets it.
    orders = {0: [trade(10)], 1: [trade(-10, exectype=Order.StopTrail, trailamount=5.0)]}
    strategy = run(bars([100, 100, (100, 111, 100, 110), (110, 110, 104, 104), 104]), orders)
    assert equity_of(strategy)[-1] == 10_000.0 + 10 * 5.0


def test_the_part_of_a_stop_that_a_thin_bar_could_not_fill_is_sold_at_the_next_open():
    # 4 of 10 per bar. Met at 95, then the market is back at 100: the rest goes at 100, not when 95 comes again.
    commission = PerpetualCommission(taker=0.0, lot_step=1.0, min_notional=0.0, participation=0.4)
    broker = PerpetualBroker(slippage=0.0, commission=commission)
    market = bars([100, 100, 100, 100, 100, (100, 100, 90, 100), 100, 100, 100], volume=10.0)
    strategy = run(market, {0: [trade(10)], 4: [stop(-10, 95.0)]}, broker)
    orders = strategy.analyzers.orders.get_analysis()
    assert orders["price"].tolist() == pytest.approx([100.0, (4 * 95 + 6 * 100) / 10])
    assert equity_of(strategy)[-1] == 10_000.0 - 20.0
