"""Slippage models, ticks, partial fills, refused orders, mark prices and changing funding intervals, by hand."""

import math

import backtrader as bt
import pandas as pd
import pytest

from strategies import Costs, FillFacts
from strategies.account.broker import PerpetualBroker
from strategies.account.fill_price import fill_price
from tests.strategies.market import bars, equity_of, frame_of, free_broker, free_commission, run, trade

FILL = FillFacts(4.0, 100.0, "market", 100.0, 104.0, 98.0, 16.0)


def broker_of(slippage_model="fixed", slippage=0.0, **terms):
    return PerpetualBroker(
        slippage=slippage, slippage_model=slippage_model, commission=free_commission(**terms)
    )


def prices_of(strategy):
    return strategy.analyzers.orders.get_analysis()["price"].tolist()


def test_the_spread_model_costs_half_of_the_spread_on_both_sides():
    costs = Costs(slippage_model="spread", half_spread=0.002, slippage=0.5)
    assert fill_price(costs, FILL) == pytest.approx(100.2)
    assert fill_price(costs, FILL._replace(size=-4.0)) == pytest.approx(99.8)


def test_the_impact_model_grows_with_the_root_of_the_share_of_the_volume():
    # 4 of 16 is a quarter: 0.1 % + 1 % x 0.5; all of the volume in a bar without any; at most half of the price.
    costs = Costs(slippage_model="impact", half_spread=0.001, impact=0.01)
    assert fill_price(costs, FILL) == pytest.approx(100.6)
    assert fill_price(costs, FILL._replace(size=-4.0)) == pytest.approx(99.4)
    assert fill_price(costs, FILL._replace(volume=0.0)) == pytest.approx(101.1)
    assert fill_price(costs, FILL._replace(size=-1e9)) == pytest.approx(50.0)
    with pytest.raises(ValueError, match="impact' needs the volume of every bar, found nan"):
        fill_price(costs, FILL._replace(volume=math.nan))


def test_the_models_reach_the_broker_by_name():
    market = bars([100, 100, 100], volume=1_000.0)
    assert prices_of(run(market, {0: [trade(10)]}, broker_of("spread", half_spread=0.001))) == [
        pytest.approx(100.1)
    ]
    market = bars([100, 100, 100], volume=1_000.0)
    impact = broker_of("impact", half_spread=0.0, impact=0.01)
    assert prices_of(run(market, {0: [trade(10)]}, impact)) == [pytest.approx(100 * (1 + 0.01 * 0.1))]


@pytest.mark.parametrize(
    ("size", "tick", "price"),
    [(1.0, 0.5, 100.5), (-1.0, 0.5, 99.5), (1.0, 0.01, 100.03), (-1.0, 0.01, 99.97)],
)
def test_a_fill_is_rounded_to_the_tick_against_the_account(size, tick, price):
    costs = Costs(slippage=0.000_21, tick_size=tick)
    assert fill_price(costs, FILL._replace(size=size)) == price


def test_a_price_on_the_tick_stays_and_a_limit_is_kept():
    assert fill_price(Costs(slippage=0.0, tick_size=0.1), FILL._replace(price=0.3)) == 0.3
    assert fill_price(Costs(slippage=0.0, tick_size=0.1), FILL._replace(price=0.3, size=-1.0)) == 0.3
    assert fill_price(Costs(slippage=0.001, tick_size=1.0), FILL, limit=100.5) == 100.5
    assert fill_price(
        Costs(slippage=0.9, tick_size=1.0), FILL._replace(price=3.0, size=-1.0)
    ) == pytest.approx(0.3)


def test_an_order_takes_its_share_of_each_bar_and_the_rest_waits():
    # A tenth of 40 units a bar is 4: 4 at 100, 4 at 110 and 2 at 120, each with its fee of 0.1 %.
    market = bars([100, 100, 110, 120, 120], volume=40.0)
    strategy = run(market, {0: [trade(10)]}, broker_of(participation=0.1, taker=0.001))
    orders = strategy.analyzers.orders.get_analysis()
    assert orders["size"].tolist() == [10.0]
    assert orders["price"].tolist() == [pytest.approx(108.0)]
    assert orders["fee"].tolist() == [pytest.approx(1.08)]
    assert equity_of(strategy)[1:4] == pytest.approx([10_000 - 0.4, 10_040 - 0.84, 10_040 + 80 - 1.08])


def test_orders_of_one_bar_share_its_volume_in_whole_lots():
    market = bars([100] * 5, volume=7.0)
    strategy = run(market, {0: [trade(3), trade(5)]}, broker_of(participation=0.5, lot_step=1.0))
    # 3.5 a bar: 3 and nothing; 3 (whole lots); 2.
    assert strategy.notices == [(1, "Completed", 3.0), (3, "Completed", 5.0)]


def test_the_impact_of_a_part_is_that_of_the_part():
    market = bars([100, 100, 100, 100], volume=40.0)
    broker = broker_of("impact", half_spread=0.0, impact=0.01, participation=0.25)
    # 10 and 5 of 40: sqrt(0.25) and sqrt(0.125).
    strategy = run(market, {0: [trade(15)]}, broker)
    expected = (10 * (1 + 0.01 * 0.5) + 5 * (1 + 0.01 * math.sqrt(0.125))) / 15 * 100
    assert prices_of(strategy) == [pytest.approx(expected)]


def test_refused_orders_are_counted_by_reason():
    orders = {
        0: [trade(0.01), trade(1)],  # 1 quote unit is below the minimum of 5
        1: [trade(2_000)],  # no margin
        2: [trade(-1)],  # closes: always accepted
    }
    strategy = run(bars([100] * 5), orders, free_broker(min_notional=5.0))
    assert [status for _, status, _ in strategy.notices] == ["Rejected", "Completed", "Margin", "Completed"]
    assert strategy.broker.rejections == {"below_minimum": 1, "margin": 1}
    assert strategy.sent[0].info.reason == "below_minimum"
    assert strategy.broker.notes() == [
        "1 orders were refused: below_minimum.",
        "1 orders were refused: margin.",
    ]


def test_ruin_ends_trading_and_is_counted():
    strategy = run(bars([100, 100, (100, 100, 30, 30), 30, 30]), {0: [trade(1000)], 3: [trade(1)]})
    assert strategy.broker.rejections == {"ruined": 1}


def test_a_position_below_the_minimum_can_be_closed():
    # 0.05 left at 100 are 5; at 10 they are worth 0.5.
    strategy = run(
        bars([100, 100, 10, 10]), {0: [trade(0.05)], 1: [trade(-0.05)]}, free_broker(min_notional=5.0)
    )
    assert strategy.position.size == 0.0


def test_funding_may_settle_at_any_bar():
    # 2-hourly at 0.01 %, then 8-hourly at 0.03 %: 10 units at 100 pay 0.1 four times and 0.3 twice.
    rates = dict.fromkeys((2, 4, 6, 8), 0.0001) | dict.fromkeys((16, 24), 0.0003)
    strategy = run(bars([100] * 26, rates), {0: [trade(10)]})
    assert strategy.analyzers.funding.get_analysis()["amount"].tolist() == pytest.approx(
        [0.1] * 4 + [0.3] * 2
    )
    assert equity_of(strategy)[-1] == pytest.approx(10_000 - 1.0)
    short = run(bars([100] * 26, rates), {0: [trade(-10)]})
    assert equity_of(short)[-1] == pytest.approx(10_000 + 1.0)


# Mark prices -------------------------------------------------------------------------------------------------


class Marked(bt.feeds.PandasData):
    """Bars with a mark price."""

    lines = ("mark_open", "mark_high", "mark_low", "mark_close", "funding_rate")
    params = tuple(
        (name, -1) for name in ("mark_open", "mark_high", "mark_low", "mark_close", "funding_rate")
    )


def marked(prices, marks, rates=None):
    frame = frame_of(prices, rates)
    quotes = [mark if isinstance(mark, tuple) else (mark,) * 4 for mark in marks]
    frame[["mark_open", "mark_high", "mark_low", "mark_close"]] = quotes
    frame.index = pd.to_datetime(frame["timestamp"] + 3_600_000, unit="ms")
    return Marked(
        dataname=frame.drop(columns="timestamp"), timeframe=bt.TimeFrame.Minutes, compression=60, name="X"
    )


def test_the_mark_price_liquidates_and_values_and_the_traded_price_fills():
    # A wick of the traded price to 80 that the mark price does not follow: nothing happens; it closes at 99, marked 98.
    data = marked([100, 100, (100, 100, 80, 99), 99], [100, 100, (100, 100, 97, 98), 98])
    strategy = run([data], {0: [trade(1000)]})
    assert strategy.broker.liquidations == 0
    assert equity_of(strategy)[2] == 10_000 - 1000 * 2.0
    # The mark price falls to 85 while no trade is below 95.
    data = marked([100, 100, (100, 100, 95, 99), 99], [100, 100, (100, 100, 85, 98), 98])
    strategy = run([data], {0: [trade(1000)], 2: [trade(1)]})
    assert strategy.analyzers.orders.get_analysis()["price"][1] == pytest.approx(90_000 / 995)
    assert equity_of(strategy)[-1] == 0.0


def test_funding_is_charged_on_the_mark_price():
    data = marked([100] * 4, [100, 100, 110, 110], {2: 0.01})
    strategy = run([data], {0: [trade(10)]})
    assert strategy.analyzers.funding.get_analysis()["amount"].tolist() == [pytest.approx(11.0)]


def test_a_stop_on_traded_prices_does_not_save_from_a_mark_price_that_may_come_first():
    data = marked([100, 100, (100, 100, 80, 84), 84], [100, 100, (100, 100, 80, 84), 84])
    stop = trade(-1000, price=95.0, exectype=bt.Order.Stop)
    strategy = run([data], {0: [trade(1000)], 1: [stop]})
    assert strategy.broker.liquidations == 1


@pytest.mark.parametrize("kind", [bt.Order.Market, bt.Order.Stop])
@pytest.mark.parametrize("missing", [11, 15, 20])
def test_no_account_is_valued_at_a_price_that_is_none(kind, missing):
    """Bought in bar 11, sold in bar 20 (from 0): at its fill, while it is held, and at its sale a bar has no prices."""

    class Mine(bt.Strategy):
        def next(self):
            if len(self) == 11:
                self.buy(size=1, exectype=kind, price=99.0)
            if len(self) == 20:
                self.close()

    frame = frame_of([100.0] * 30)
    frame = frame.set_index(pd.to_datetime(frame["timestamp"], unit="ms")).drop(
        columns=["timestamp", "funding_rate"]
    )
    prices = ["open", "high", "low", "close"]
    frame.loc[frame.index[missing], prices] = math.nan
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.setbroker(free_broker())
    data = bt.feeds.PandasData(dataname=frame, timeframe=bt.TimeFrame.Minutes, compression=60)
    cerebro.adddata(data, name="BTC")
    cerebro.addstrategy(Mine)
    with pytest.raises(
        ValueError, match=f"BTC: the bar that closes at {frame.index[missing]:%Y-%m-%dT%H:%M}:00Z must"
    ):
        cerebro.run()
