"""A data that is listed late takes no bar, order or figure from the datas that were there before it."""

import inspect

import backtrader as bt
import numpy as np
import pytest

import strategies
from strategies import BuyAndHold, Conditions, LiveScoreStrategy, ReplayOrders, ScoreStrategy, SignalStrategy
from strategies.recorder import DecisionRecorder
from tests.chapter_rules import CHAPTER
from tests.strategies.market import HOUR, START, Script, bars, free_broker, trade

PUBLIC = [getattr(strategies, name) for name in strategies.__all__]
ANALYZERS = [found for found in PUBLIC if inspect.isclass(found) and issubclass(found, bt.Analyzer)]
STRATEGIES = [found for found in PUBLIC if inspect.isclass(found) and issubclass(found, bt.Strategy)]

BARS, LATE = 90, 60
WALK = (100 * np.exp(np.cumsum(np.random.default_rng(4).normal(0, 0.02, BARS)))).tolist()
FUNDING = dict.fromkeys(range(8, BARS, 8), 0.001)


def early(symbol="A"):
    return bars(WALK, FUNDING, symbol)


def late():
    """Return a data that is listed `LATE` bars after the other and never traded."""
    return bars([50.0] * (BARS - LATE), symbol="B", start=START + LATE * HOUR)


class Recording(Script):
    """Trade A by script, in `prenext` too, and record a decision per bar of A."""

    def __init__(self):
        super().__init__()
        self.decisions = DecisionRecorder(["A", "B"], 0.05)

    def next(self):
        super().next()
        rank = np.nan if len(self) % 7 == 0 else (len(self) % 10) / 10
        self.decisions.append(
            self.lines.datetime[0], 0, 1, self.data.close[0], 1.0, 1.0, 0.5, -1.0, rank, 0.0, 0.0, 0.0, 0.0
        )


class SlowRecording(Recording):
    """The same with an indicator of 20 bars, which gives each data its own minimum period."""

    def __init__(self):
        super().__init__()
        for data in self.datas:
            bt.indicators.SMA(data.close, period=20)


ORDERS = {i: [trade(20.0 if i % 20 == 0 else -20.0)] for i in range(0, LATE, 10)}


def analysed(analyzer, datas, strategy=Recording, first=0, **modes):
    cerebro = bt.Cerebro(stdstats=False, **modes)
    for data in datas:
        cerebro.adddata(data)
    cerebro.setbroker(free_broker(taker=0.001, slippage=0.001))
    cerebro.addstrategy(strategy, orders={i: orders for i, orders in ORDERS.items() if i >= first})
    cerebro.addanalyzer(analyzer, _name="it")
    return cerebro.run()[0].analyzers.it.get_analysis()


def of_the_first_symbol(found):
    """Drop what an analysis says of B alone: its entries by symbol."""
    return {
        key: {k: v for k, v in value.items() if k != "B"} if key == "by_symbol" else value
        for key, value in found.items()
    }


@pytest.mark.parametrize("analyzer", ANALYZERS)
@pytest.mark.parametrize(("strategy", "first"), [(Recording, 0), (SlowRecording, 20)])
def test_every_analyzer_counts_the_bars_before_a_late_listing(analyzer, strategy, first):
    alone = analysed(analyzer, [early()], strategy, first)
    beside = analysed(analyzer, [early(), late()], strategy, first)
    np.testing.assert_equal(of_the_first_symbol(beside), of_the_first_symbol(alone))
    assert any(np.size(value) for value in alone.values()), "there is something to compare"


@pytest.mark.parametrize("modes", [{"runonce": False}, {"preload": False}, {"exactbars": 1}])
@pytest.mark.parametrize("analyzer", ANALYZERS)
def test_and_in_every_mode(analyzer, modes):
    ours = analysed(analyzer, [early(), late()], SlowRecording, 20)
    np.testing.assert_equal(analysed(analyzer, [early(), late()], SlowRecording, 20, **modes), ours)


class NoPrenext(bt.Strategy):
    """A user's strategy that does not trade before all datas exist."""

    def next(self):
        pass


def test_a_strategy_that_waits_for_all_datas_is_measured_from_there():
    cerebro = bt.Cerebro(stdstats=False)
    for data in (early(), late()):
        cerebro.adddata(data)
    cerebro.addstrategy(NoPrenext)
    cerebro.addanalyzer(strategies.EquityCurve)
    curve = cerebro.run()[0].analyzers.equitycurve.get_analysis()
    assert curve["time"][0] == START + (LATE + 1) * HOUR


class NextStart(bt.Strategy):
    """Trades in `nextstart`, which Backtrader calls instead of the first `next`."""

    def __init__(self):
        bt.indicators.SMA(self.data.close, period=20)

    def nextstart(self):
        self.buy(size=10.0)


def test_the_bar_of_nextstart_is_counted():
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(early())
    cerebro.setbroker(free_broker())
    cerebro.addstrategy(NextStart)
    cerebro.addanalyzer(strategies.EquityCurve)
    curve = cerebro.run()[0].analyzers.equitycurve.get_analysis()
    assert curve["time"].tolist() == [START + i * HOUR for i in range(20, BARS + 1)]
    assert curve["exposure"][:2].tolist() == [0.0, pytest.approx(10 * WALK[20] / 10_000)]


class Watching:
    """The observer that a live strategy needs."""

    def conditions(self):
        return Conditions()

    def bar(self, content):
        pass

    def status(self, symbol, state, reason):
        pass


def params_of(strategy, n, model):
    """Return parameters with which a strategy trades A alike with and without B."""
    half = 1.0 / n
    wanted = np.random.default_rng(3).uniform(-1, 1, BARS)
    replay = {
        "decided": [START + i * HOUR for i in range(1, LATE, 10)],
        "symbol": ["A"] * 6,
        "size": [(-1.0) ** i * 5 for i in range(6)],
    }
    eager = {
        **CHAPTER,
        "confidence_threshold": 0.0,
        "density_quantile": 0.0,
        "rebalance_band": 0.0,
        "cooldown": 0,
    }
    return {
        BuyAndHold: {"exposure": n * 0.5},
        SignalStrategy: {"signals": {"A": wanted, "B": np.zeros(BARS)}},
        ReplayOrders: {"orders": replay},
        ScoreStrategy: {"model": model, "max_exposure": 1.0 / half, **eager},
        LiveScoreStrategy: {"model": model, "watch": Watching(), "max_exposure": 1.0 / half, **eager},
    }[strategy]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_trades_before_a_late_listing(strategy, tiny_model):
    def first_orders(datas):
        cerebro = bt.Cerebro(stdstats=False)
        for data in datas:
            cerebro.adddata(data)
        cerebro.setbroker(free_broker())
        cerebro.addstrategy(strategy, **params_of(strategy, len(datas), tiny_model))
        cerebro.addanalyzer(strategies.Orders)
        orders = cerebro.run()[0].analyzers.orders.get_analysis()
        before = orders["time"] <= START + LATE * HOUR
        return [
            (t, d, s)
            for t, d, s in zip(
                *(orders[k][before].tolist() for k in ("time", "decided", "size")), strict=True
            )
        ]

    alone = first_orders([early()])
    assert alone, "the strategy trades before the listing"
    beside = first_orders([early(), late()])
    assert [row[:2] for row in beside] == [row[:2] for row in alone]
    if not issubclass(strategy, ScoreStrategy):  # whose volatility target is of its part of the capital
        assert [row[2] for row in beside] == pytest.approx([row[2] for row in alone])
