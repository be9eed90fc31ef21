"""Equity, orders, trades and funding are the same in all modes of Cerebro."""

import itertools

import backtrader as bt
import numpy as np
import pytest

from feeds.btdata import ReplayData
from strategies.account.broker import PerpetualBroker
from strategies.account.perpetual import PerpetualCommission
from strategies.analyzers import Drawdown, EquityCurve, Funding, Orders, Sharpe, Trades
from strategies.baselines import SignalStrategy
from tests.strategies.market import HOUR, START, bars

MODES = list(itertools.product([True, False], [True, False], [0, 1, -1]))
COLUMNS = ("equitycurve", "orders", "funding")


def market(symbol, seed, start=START, n=120):
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.02, n)))
    opening = np.concatenate(([100.0], close[:-1])) * np.exp(rng.normal(0, 0.002, n))
    high = np.maximum(opening, close) * 1.003
    low = np.minimum(opening, close) * 0.997
    quotes = list(zip(opening.tolist(), high.tolist(), low.tolist(), close.tolist(), strict=True))
    return bars(quotes, {i: float(rng.normal(0, 0.001)) for i in range(3, n, 8)}, symbol, start)


def stock_broker():
    broker = bt.brokers.BackBroker()
    broker.addcommissioninfo(PerpetualCommission(lot_step=0.01))
    broker.set_slippage_perc(0.0002, slip_out=True)
    return broker


def perpetual_broker():
    return PerpetualBroker(commission=PerpetualCommission(lot_step=0.01))


def play(broker, replayed=False, borrowed=False, **modes):
    # B begins five bars later than A.
    datas = [market("A", 1), market("B", 2, START + 5 * HOUR, 115)]
    if replayed:
        datas = [ReplayData(dataname=data.p.dataname, symbol=data._name, timeframe="1h") for data in datas]
    cerebro = bt.Cerebro(stdstats=False, **modes)
    for data in datas:
        cerebro.adddata(data)
    cerebro.setbroker(broker)
    if borrowed:  # nine times the equity in A from bar 8 on, never changed
        wanted = np.where(np.arange(120) == 8, 1.0, np.nan)
        rules = {"signals": {"A": wanted, "B": np.zeros(120)}, "max_exposure": 9.0}
    else:
        signals = {s: np.random.default_rng(9 + i).uniform(-1, 1, 120) for i, s in enumerate("AB")}
        rules = {"signals": signals, "max_exposure": 1.5, "rebalance_band": 0.3}
    cerebro.addstrategy(SignalStrategy, **rules)
    for analyzer in (EquityCurve, Orders, Trades, Funding, Sharpe, Drawdown):
        cerebro.addanalyzer(analyzer)
    strategy = cerebro.run()[0]
    return {name: getattr(strategy.analyzers, name).get_analysis() for name in (*COLUMNS, "trades", "sharpe")}


def assert_same(one, other):
    for name in COLUMNS:
        for column in one[name]:
            np.testing.assert_array_equal(one[name][column], other[name][column], err_msg=f"{name}.{column}")
    for column, values in one["trades"]["closed"].items():
        np.testing.assert_array_equal(values, other["trades"]["closed"][column], err_msg=column)
    assert one["sharpe"] == other["sharpe"]


@pytest.fixture(scope="module")
def reference():
    return {build: play(build()) for build in (stock_broker, perpetual_broker)}


@pytest.mark.parametrize(("runonce", "preload", "exactbars"), MODES)
@pytest.mark.parametrize("build", [stock_broker, perpetual_broker])
def test_the_books_are_the_same_in_every_mode(reference, build, runonce, preload, exactbars):
    result = play(build(), runonce=runonce, preload=preload, exactbars=exactbars)
    assert len(result["orders"]["time"]) > 100
    assert len(result["funding"]["time"]) > 20
    assert_same(reference[build], result)


def test_the_books_are_the_same_bar_by_bar_as_from_a_live_feed(reference):
    assert_same(reference[perpetual_broker], play(perpetual_broker(), replayed=True))


@pytest.mark.parametrize(("runonce", "preload", "exactbars"), MODES)
def test_a_liquidation_is_the_same_in_every_mode(runonce, preload, exactbars):
    result = play(perpetual_broker(), borrowed=True, runonce=runonce, preload=preload, exactbars=exactbars)
    assert result["orders"]["liquidation"].sum() >= 1
    assert result["equitycurve"]["equity"][-1] == 0.0
    assert_same(play(perpetual_broker(), borrowed=True), result)
