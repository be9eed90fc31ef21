"""The exchange liquidates an account below its maintenance margin, and equity is never negative (cross margin)."""

import backtrader as bt
import pytest

from tests.strategies.market import bars, equity_of, free_broker, free_commission, run, trade


def test_c6_ten_times_long_through_minus_seventy_percent_ends_at_zero_where_stock_ends_in_debt():
    market = [100, 100, (100, 100, 30, 30), 30]
    stock = bt.brokers.BackBroker()
    stock.addcommissioninfo(free_commission(leverage=20.0))
    assert equity_of(run(bars(market), {0: [trade(1000)]}, stock))[-1] == -60_000.0

    strategy = run(bars(market), {0: [trade(1000)]})
    assert equity_of(strategy) == [10_000.0, 10_000.0, 0.0, 0.0]
    orders = strategy.analyzers.orders.get_analysis()
    price = 90_000 / 995  # equity 1000 p - 90 000 meets 0.5 % of 1000 p
    assert orders["liquidation"].tolist() == [False, True]
    assert orders["price"][1] == pytest.approx(price)
    assert orders["fee"][1] == pytest.approx(5.0 * price)
    assert orders["slippage"][1] == 0.0
    assert strategy.broker.liquidations == 1
    assert strategy.broker.insurance == 0.0


def test_a_short_is_liquidated_by_the_high():
    strategy = run(bars([100, 100, (100, 170, 100, 100), 100]), {0: [trade(-1000)]})
    assert equity_of(strategy)[2:] == [0.0, 0.0]
    assert strategy.analyzers.orders.get_analysis()["price"][1] == pytest.approx(110_000 / 1005)


@pytest.mark.parametrize(("low", "equity"), [(90.46, 9_000.0), (90.45, 0.0)])
def test_the_margin_decides_to_the_cent(low, equity):
    # The line is at 90.4523; the bar closes at 99.
    strategy = run(bars([100, 100, (100, 100, low, 99)]), {0: [trade(1000)]})
    assert equity_of(strategy)[-1] == equity


@pytest.mark.parametrize(
    ("gap", "price", "fee"),
    [
        (90.2, 90.2, 200.0),  # below the line, 200 of equity left
        (60.0, 90.0, 0.0),  # below bankruptcy: the insurance fund takes the other 30 000
    ],
)
def test_a_gap_is_closed_at_the_open_or_at_bankruptcy(gap, price, fee):
    strategy = run(bars([100, 100, gap, gap]), {0: [trade(1000)]})
    orders = strategy.analyzers.orders.get_analysis()
    assert orders["price"][1] == pytest.approx(price)
    assert orders["fee"][1] == pytest.approx(fee, abs=1e-9)
    assert equity_of(strategy)[2:] == [0.0, 0.0]


def test_a_short_is_closed_by_a_gap_too():
    strategy = run(bars([100, 100, 150, 150]), {0: [trade(-1000)]})
    assert strategy.analyzers.orders.get_analysis()["price"][1] == pytest.approx(110.0)
    assert equity_of(strategy)[-1] == 0.0


def test_a_position_opened_on_the_bar_can_be_liquidated_on_it():
    strategy = run(bars([100, (100, 100, 30, 30), 30]), {0: [trade(1000)]})
    assert equity_of(strategy) == [10_000.0, 0.0, 0.0]
    assert strategy.analyzers.trades.get_analysis()["closed"]["bars"].tolist() == [0]


def test_symbols_stand_for_each_other_and_fall_together():
    # 500 A long and 250 B short at 100: equity meets the margin 9625/14 975 of the way to 80 and 120.
    datas = [
        bars([100, 100, (100, 100, 80, 80), 80], symbol="A"),
        bars([100, 100, (100, 120, 100, 120), 120], symbol="B"),
    ]
    strategy = run(datas, {0: [trade(500, 0), trade(-250, 1)]})
    orders = strategy.analyzers.orders.get_analysis()
    at = 9_625 / 14_975
    assert orders["symbol"] == ["A", "B", "A", "B"]
    assert orders["price"][2:].tolist() == pytest.approx([100 - 20 * at, 100 + 20 * at])
    assert orders["fee"][2:].sum() == pytest.approx(375 - 25 * at)
    assert equity_of(strategy)[-1] == 0.0
    assert strategy.broker.liquidations == 2


def test_a_gain_in_one_symbol_carries_a_loss_in_another():
    datas = [bars([100, 100, 78, 78], symbol="A"), bars([100, 100, 60, 60], symbol="B")]
    strategy = run(datas, {0: [trade(500, 0), trade(-250, 1)]})
    assert equity_of(strategy)[-1] == pytest.approx(10_000 - 11_000 + 10_000)
    assert strategy.broker.liquidations == 0


def test_a_silent_symbol_is_marked_at_its_last_close():
    # B has no bar after the second, whose low is past; A alone moves: 500 x -15 leaves 2500.
    datas = [bars([100, 100, 85, 85], symbol="A"), bars([100, (100, 100, 90, 100)], symbol="B")]
    strategy = run(datas, {0: [trade(500, 0), trade(250, 1)]})
    assert equity_of(strategy)[-1] == pytest.approx(2_500.0)


def test_funding_can_liquidate():
    # 1000 units pay 10 % of 100 000: all of the equity, at an open that has not moved.
    strategy = run(bars([100, 100, 100, 100], {2: 0.0999}), {0: [trade(1000)]})
    orders = strategy.analyzers.orders.get_analysis()
    assert orders["price"][1] == 100.0
    assert orders["fee"][1] == pytest.approx(10.0)
    assert equity_of(strategy)[-1] == 0.0


def test_what_a_single_payment_takes_beyond_equity_is_the_insurance_funds():
    strategy = run(bars([100, 100, 100, 100], {2: 0.15}), {0: [trade(1000)]})
    assert equity_of(strategy)[-1] == 0.0
    assert strategy.broker.insurance == pytest.approx(5_000.0)


def test_what_a_close_costs_beyond_equity_is_the_insurance_funds():
    # 900 bought at 103 and, with 1900 of equity left at 94, sold 3 % lower: 94 x 0.03 x 900 = 2538.
    broker = free_broker(slippage=0.03, leverage=20.0)
    strategy = run(bars([100, 100, 94, 94, 94]), {0: [trade(900)], 2: [trade(-900)]}, broker)
    assert equity_of(strategy) == pytest.approx([10_000, 7_300, 1_900, 0.0, 0.0])
    assert strategy.broker.insurance == pytest.approx(638.0)


def test_liquidation_cancels_open_orders_and_ruin_rejects_new_ones():
    limit = trade(-1000, price=500.0, exectype=bt.Order.Limit)
    strategy = run(
        bars([100, 100, (100, 100, 30, 30), 30, 30]), {0: [trade(1000), limit], 2: [trade(1)], 3: [trade(-1)]}
    )
    assert [(bar, status) for bar, status, _ in strategy.notices] == [
        (1, "Completed"),
        (2, "Canceled"),
        (2, "Completed"),
        (3, "Rejected"),
        (4, "Rejected"),
    ]
    orders = strategy.analyzers.orders.get_analysis()
    assert orders["status"] == ["completed", "canceled", "completed", "rejected", "rejected"]
    assert strategy.position.size == 0.0


def test_a_liquidation_reaches_the_trades_of_its_strategy():
    seen = []

    class Watch(bt.Strategy):
        def next(self):
            if len(self) == 1:
                self.buy(size=1000, tradeid=7)

        def notify_order(self, order):
            if order.info.get("liquidation"):
                seen.append(("liquidated", order.getstatusname()))

        def notify_trade(self, trade):
            if trade.isclosed:
                seen.append(("closed", trade.tradeid, trade.pnlcomm))

    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(bars([100, 100, (100, 100, 30, 30)]))
    cerebro.setbroker(free_broker())
    cerebro.addstrategy(Watch)
    cerebro.run()
    assert seen == [("liquidated", "Completed"), ("closed", 7, pytest.approx(-10_000.0))]


def test_the_trades_and_payments_of_a_ruined_account_add_up_to_its_loss():
    strategy = run(
        bars([100, 100, 101, (101, 101, 30, 30), 30], {2: 0.001}),
        {0: [trade(900)]},
        free_broker(slippage=0.0002, taker=0.00055),
    )
    closed = strategy.analyzers.trades.get_analysis()["closed"]
    assert closed["net_pnl"].sum() == pytest.approx(-10_000.0)
    assert closed["funding"].sum() == pytest.approx(90.9)


def test_leverage_is_gross_value_over_equity():
    strategy = run(bars([100, 100, 110]), {0: [trade(200)]})
    assert strategy.broker.get_leverage() == pytest.approx(22_000 / 12_000)
    ruined = run(bars([100, 100, (100, 100, 30, 30)]), {0: [trade(1000)]})
    assert ruined.broker.get_leverage() == 0.0
