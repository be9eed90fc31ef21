"""No fill before its decision, none in an invented bar, and a market that has ended is settled: in every mode."""

import itertools
import logging
from datetime import timedelta

import backtrader as bt
import pytest

from feeds import BarsData, resample
from feeds.bars.frame import as_bars
from feeds.btdata import ReplayData
from strategies.account.broker import PerpetualBroker
from strategies.analyzers import EquityCurve, Orders, Trades
from strategies.baselines import SignalStrategy
from tests.strategies.market import (
    HOUR,
    START,
    Script,
    bars,
    equity_of,
    frame_of,
    free_broker,
    free_commission,
    run,
    trade,
)

MODES = [
    dict(zip(("runonce", "preload", "exactbars"), mode, strict=True))
    for mode in itertools.product([True, False], [True, False], [0, 1, -1])
]
HOURLY = [*[100] * 6, (100, 120, 100, 120), *[120] * 9]
AT_SEVEN = 6


def play(add, orders, broker=None, **modes):
    cerebro = bt.Cerebro(stdstats=False, **modes)
    add(cerebro)
    cerebro.setbroker(broker or PerpetualBroker(slippage=0.0))
    cerebro.addstrategy(Script, orders=orders)
    for analyzer in (EquityCurve, Orders, Trades):
        cerebro.addanalyzer(analyzer)
    return cerebro.run()[0]


def hourly_frame():
    return as_bars(frame_of(HOURLY), symbol="X/USDT:USDT", timeframe="1h")


def by_feeds(cerebro):
    cerebro.adddata(BarsData(dataname=hourly_frame()))
    cerebro.adddata(BarsData(dataname=resample(hourly_frame(), "4h")))


def by_backtrader(cerebro):
    cerebro.adddata(BarsData(dataname=hourly_frame()))
    cerebro.resampledata(BarsData(dataname=hourly_frame()), timeframe=bt.TimeFrame.Minutes, compression=240)


def by_clone(cerebro):
    data = BarsData(dataname=hourly_frame())
    cerebro.adddata(data)
    cerebro.resampledata(data, timeframe=bt.TimeFrame.Minutes, compression=240)


def by_replay(cerebro):
    cerebro.adddata(BarsData(dataname=hourly_frame()))
    cerebro.replaydata(BarsData(dataname=hourly_frame()), timeframe=bt.TimeFrame.Minutes, compression=240)


@pytest.mark.parametrize("add", [by_feeds, by_backtrader, by_clone, by_replay])
@pytest.mark.parametrize("modes", [{}, {"runonce": False}, {"preload": False}], ids=str)
def test_an_order_for_a_slower_data_is_filled_at_no_price_before_its_decision(add, modes):
    # Ordered at 07:00, when the hour from 120 on has closed; the 4 h bar from 04:00 opened at 100.
    strategy = play(add, {AT_SEVEN: [trade(10, 1)]}, **modes)
    orders = strategy.analyzers.orders.get_analysis()
    assert orders["price"].tolist() == [120.0]
    assert orders["decided"].tolist() == [START + 7 * HOUR]
    assert orders["time"][0] > START + 7 * HOUR
    assert equity_of(strategy)[-1] == pytest.approx(9_999.34)


@pytest.mark.parametrize("add", [by_feeds, by_backtrader])
def test_a_resting_order_does_not_see_the_part_of_the_bar_before_it(add):
    # A limit at 105, sent at 07:00: the low of 100 in the 4 h bar was at 06:00.
    order = trade(10, 1, price=105.0, exectype=bt.Order.Limit)
    strategy = play(add, {AT_SEVEN: [order]})
    assert strategy.position.size == 0.0
    assert equity_of(strategy)[-1] == 10_000.0


def test_the_life_of_an_order_counts_from_its_decision():
    # Two hours from 07:00: the 4 h bar that closes at 12:00 is too late, although the last one closed at 04:00.
    order = trade(10, 1, price=130.0, exectype=bt.Order.Limit, valid=timedelta(hours=6))
    short = trade(10, 1, price=130.0, exectype=bt.Order.Limit, valid=timedelta(hours=2))
    assert play(by_feeds, {AT_SEVEN: [short]}).notices == [(11, "Expired", 0.0)]
    assert play(by_feeds, {AT_SEVEN: [order]}).notices == [(11, "Completed", 10.0)]


def test_an_order_for_a_data_with_a_hole_waits_for_the_bar_that_opens_after_it():
    # B has no bar from 03:00 to 07:00. An order of 05:00 is filled at the open of the bar from 07:00.
    datas = [bars([100] * 9, symbol="A"), bars([10, 10, 10, *[None] * 4, (13, 14, 12, 14), 14], symbol="B")]
    orders = run(datas, {4: [trade(5, 1)]}).analyzers.orders.get_analysis()
    assert orders["price"].tolist() == [13.0]
    assert (orders["time"] - START).tolist() == [8 * HOUR]


# A market that ends ------------------------------------------------------------------------------------------


def ending(replayed=False):
    datas = [bars([100] * 60, symbol="A"), bars([*[50] * 29, 40], symbol="B")]
    if replayed:
        datas = [ReplayData(dataname=data.p.dataname, symbol=data._name, timeframe="1h") for data in datas]
    return datas


def play_ending(replayed=False, **modes):
    signals = {"A": [0.2] * 35 + [1.0] * 25, "B": [0.8] * 30}
    cerebro = bt.Cerebro(stdstats=False, **modes)
    for data in ending(replayed):
        cerebro.adddata(data)
    cerebro.setbroker(free_broker(taker=0.001))
    cerebro.addstrategy(SignalStrategy, signals=signals, rebalance_band=0.1)
    for analyzer in (EquityCurve, Orders, Trades):
        cerebro.addanalyzer(analyzer)
    return cerebro.run()[0]


@pytest.mark.parametrize("modes", [*MODES, {"replayed": True}], ids=str)
def test_a_market_that_ends_is_settled_at_its_last_price(modes, caplog):
    # 20 A and 160 B are bought with a fee of 10; B ends at 40, which costs 1,600 and a fee of 160 x 40 x 0.001.
    with caplog.at_level(logging.WARNING):
        strategy = play_ending(**modes)
    orders = strategy.analyzers.orders.get_analysis()
    curve = strategy.analyzers.equitycurve.get_analysis()
    closed = strategy.analyzers.trades.get_analysis()["closed"]
    assert closed["symbol"] == ["B"]
    assert closed["exit_price"].tolist() == [40.0]
    assert curve["equity"][28] == pytest.approx(9_990.0)
    assert curve["equity"][29:31].tolist() == pytest.approx([8_390.0, 8_390.0 - 6.4])
    assert max(curve["gross"][31:]) <= 1.0 + 0.001
    assert strategy.getposition(strategy.datas[1]).size == 0.0
    assert [
        symbol
        for symbol, time in zip(orders["symbol"], orders["time"], strict=True)
        if time > START + 31 * HOUR
    ] == ["A"]
    [settlement] = strategy.broker.settlements
    assert settlement == ("B", START + 30 * HOUR, 160.0, 40.0)
    assert "B has no more bars: 160 contracts were settled at its last price 40" in caplog.text
    assert strategy.broker.notes()[0].startswith("B has no more bars: 160 contracts")


def test_the_order_of_a_settlement_says_so_and_open_orders_are_canceled():
    seen = []

    class Watch(bt.Strategy):
        def prenext(self):
            if len(self) == 1:
                self.buy(data=self.datas[1], size=10)
            if len(self) == 2:
                self.sell(data=self.datas[1], size=10, price=80.0, exectype=bt.Order.Limit)
            if len(self) == 5:
                self.buy(data=self.datas[1], size=1)

        next = prenext

        def notify_order(self, order):
            if not order.alive():
                settled = bool(order.info.get("settlement"))
                seen.append((len(self), order.getstatusname(), settled, order.info.get("reason") or None))

    cerebro = bt.Cerebro(stdstats=False)
    for data in (bars([100] * 7, symbol="A"), bars([50, 50, 60], symbol="B")):
        cerebro.adddata(data)
    cerebro.setbroker(free_broker())
    cerebro.addstrategy(Watch)
    cerebro.run()
    assert seen == [
        (2, "Completed", False, None),
        (4, "Canceled", False, None),
        (4, "Completed", True, None),
        (6, "Rejected", False, "delisted"),
    ]
    assert cerebro.broker.getvalue() == 10_100.0
    assert cerebro.broker.rejections == {"delisted": 1}


@pytest.mark.parametrize("modes", MODES, ids=str)
def test_a_hole_is_no_end(modes):
    datas = [bars([100] * 12, symbol="A"), bars([50, 50, *[None] * 8, 70, 70], symbol="B")]
    strategy = run(datas, {0: [trade(10, 1)]}, **modes)
    assert strategy.broker.settlements == []
    assert equity_of(strategy)[-1] == 10_200.0


def test_all_markets_may_end_together_and_a_slower_one_a_bar_earlier():
    # The 4 h data ends at 16:00 with the hourly one, then one that ends at 12:00 while the hour of 15:00 is the last.
    assert play(by_feeds, {5: [trade(1, 1)]}).broker.settlements == []

    def shorter(cerebro):
        frame = hourly_frame()
        cerebro.adddata(
            BarsData(dataname=frame.iloc[:-1].reset_index(drop=True), symbol="X/USDT:USDT", timeframe="1h")
        )
        cerebro.adddata(
            BarsData(dataname=resample(frame, "4h").iloc[:-1].reset_index(drop=True), timeframe="4h")
        )

    strategy = play(shorter, {5: [trade(1, 1)]})
    assert strategy.broker.settlements == []
    assert strategy.getposition(strategy.datas[1]).size == 1.0


def test_a_live_feed_is_not_ended_by_silence():
    class Silent(ReplayData):
        def _load(self):
            if len(self) > 3:
                return None
            return super()._load()

    quiet = Silent(dataname=bars([50] * 9, symbol="B").p.dataname, symbol="B", timeframe="1h")
    talking = ReplayData(dataname=bars([100] * 9, symbol="A").p.dataname, symbol="A", timeframe="1h")
    ticks = []

    class Stop(Script):
        def next(self):
            super().next()
            ticks.append(self.broker.getvalue())
            if len(self) == 9:
                self.env.runstop()

    cerebro = bt.Cerebro(stdstats=False)
    for data in (talking, quiet):
        cerebro.adddata(data)
    cerebro.setbroker(free_broker())
    cerebro.addstrategy(Stop, orders={0: [trade(10, 1)]})
    [strategy] = cerebro.run()
    assert strategy.getposition(quiet).size == 10.0
    assert cerebro.broker.settlements == []


# An invented bar ---------------------------------------------------------------------------------------------

HALT = [*[100] * 5, *[None] * 9, 80, 80]


@pytest.mark.parametrize("modes", MODES, ids=str)
@pytest.mark.parametrize("gaps", ["ffill", "keep"])
def test_an_order_waits_for_a_bar_in_which_somebody_traded(gaps, modes):
    strategy = run(bars(HALT, gaps=gaps), {1: [trade(10)], 4: [trade(-10)]}, **modes)
    orders = strategy.analyzers.orders.get_analysis()
    assert orders["price"].tolist() == [100.0, 80.0]
    assert equity_of(strategy)[-1] == 9_800.0
    assert strategy.broker.orders_in_filled_bars == (1 if gaps == "ffill" else 0)


def test_a_resampled_bar_that_begins_in_a_halt_is_not_traded():
    # The halt is 05:00 to 14:00; the first 4 h bar that begins with a trade is that from 16:00.
    def add(cerebro):
        data = bars([*HALT, *[80] * 8], gaps="ffill")
        cerebro.resampledata(data, timeframe=bt.TimeFrame.Minutes, compression=240)

    strategy = play(add, {0: [trade(10)]}, free_broker())
    orders = strategy.analyzers.orders.get_analysis()
    assert (orders["time"] - START).tolist() == [20 * HOUR]
    assert orders["price"].tolist() == [80.0]


def test_the_notes_of_a_run_count_the_orders_that_met_an_invented_bar():
    broker = PerpetualBroker(slippage=0.0, commission=free_commission())
    run(bars(HALT, gaps="ffill"), {1: [trade(10)], 5: [trade(-4), trade(-6)]}, broker)
    assert broker.notes() == ["2 orders met a bar that was added where bars are missing, and had to wait."]
