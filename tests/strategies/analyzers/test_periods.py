"""Days and months end at midnight UTC and include the bar that closes then."""

import backtrader as bt
import numpy as np
import pytest

from strategies.analyzers import DailyReturns, EquityCurve, MonthlyReturns
from tests.strategies.market import HOUR, START, Script, bars, free_broker, run, trade

DAY = 24 * HOUR


def of(strategy, name):
    return getattr(strategy.analyzers, name).get_analysis()


def test_the_bar_that_closes_at_midnight_ends_its_day():
    # 48 hours; the price doubles in the bar that closes at midnight after the first day, and halves in the last one.
    prices = [100.0] * 23 + [200.0] * 24 + [100.0]
    strategy = run(bars(prices), {0: [trade(10)]}, analyzers=[DailyReturns, MonthlyReturns])
    days = of(strategy, "dailyreturns")
    assert days["time"].tolist() == [START, START + DAY]
    assert days["return"].tolist() == pytest.approx([0.1, 10_000 / 11_000 - 1])
    # Backtrader's analyzer has three days, and the doubling in the second.
    theirs = list(
        run(bars(prices), {0: [trade(10)]}, analyzers=[_Daily]).analyzers[0].get_analysis().values()
    )
    assert theirs == pytest.approx([0.0, 0.1, 10_000 / 11_000 - 1])


class _Daily(bt.analyzers.TimeReturn):
    params = (("timeframe", bt.TimeFrame.Days),)


def test_months_end_at_midnight_of_the_first():
    # From 2023-11-30 22:00: the bars that close at 23:00 and at 00:00 are November's.
    start = START + 15 * DAY + 22 * HOUR
    prices = [100, 110, 121, 121, 133.1]
    strategy = run(
        bars(prices, start=start), {0: [trade(100)]}, free_broker(), analyzers=[MonthlyReturns, EquityCurve]
    )
    months = of(strategy, "monthlyreturns")
    assert months["time"].astype("datetime64[ms]").astype(str).tolist() == [
        "2023-11-01T00:00:00.000",
        "2023-12-01T00:00:00.000",
    ]
    equity = of(strategy, "equitycurve")["equity"]
    assert equity[1] == pytest.approx(10_000)
    assert months["return"].tolist() == pytest.approx([0.0, equity[-1] / equity[1] - 1])


def test_a_run_that_starts_at_midnight_has_no_day_before():
    strategy = run(bars([100.0] * 26, start=START - HOUR), {}, analyzers=[DailyReturns])
    assert of(strategy, "dailyreturns")["time"].tolist() == [START, START + DAY]
    assert of(run(bars([100.0], start=START - HOUR), {}, analyzers=[DailyReturns]), "dailyreturns")[
        "time"
    ].tolist() == [START - DAY]


@pytest.mark.parametrize("seed", range(3))
def test_the_periods_multiply_to_the_total_return(seed):
    rng = np.random.default_rng(seed)
    prices = (100 * np.exp(np.cumsum(rng.normal(0, 0.02, 24 * 40)))).tolist()
    strategy = run(
        bars(prices, start=START + 5 * HOUR),
        {3: [trade(50)]},
        analyzers=[DailyReturns, MonthlyReturns, EquityCurve],
    )
    equity = of(strategy, "equitycurve")["equity"]
    for name in ("dailyreturns", "monthlyreturns"):
        assert np.prod(1 + of(strategy, name)["return"]) == pytest.approx(equity[-1] / equity[0])


def test_deposits_are_no_return_of_a_day():
    class Depositing(bt.brokers.BackBroker):
        """Books a deposit of 10,000 at the 25th bar, as the account does."""

        def init(self):
            super().init()
            self.cash_flows = []
            self.bars = 0

        def next(self):
            self.bars += 1
            if self.bars == 25:
                self.cash += 10_000.0
                self.cash_flows.append((0.0, 10_000.0))
            super().next()

    cerebro = bt.Cerebro(stdstats=False)
    # Grows by 10 % in the first day and by 10 % in the second: 100 units on 10,000, then 100 on 21,000.
    cerebro.adddata(bars([100.0] * 10 + [110.0] * 20 + [131.0] * 18))
    cerebro.setbroker(Depositing())
    cerebro.broker.setcash(10_000.0)
    cerebro.addstrategy(Script, orders={0: [trade(100)]})
    for analyzer in (DailyReturns, EquityCurve):
        cerebro.addanalyzer(analyzer)
    strategy = cerebro.run()[0]
    assert of(strategy, "dailyreturns")["return"].tolist() == pytest.approx([0.1, 0.1])
    curve = of(strategy, "equitycurve")
    assert curve["equity"][-1] == pytest.approx(23_100)
    assert np.flatnonzero(curve["cash_flow"]).tolist() == [24]
    assert curve["cash_flow"][24] == 10_000.0
