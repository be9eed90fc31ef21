"""What an account is worth, and what its owner put in or took out."""

import backtrader as bt
import pytest

from strategies.account.broker import PerpetualBroker
from tests.strategies.market import HOUR, START, bars, equity_of, free_broker, run, trade


class Owner(bt.Strategy):
    """Move cash at given bars: `flows[bar]`."""

    params = (("flows", None), ("size", 0.0))

    def next(self):
        if len(self) == 1 and self.p.size:
            self.buy(size=self.p.size)
        if len(self) - 1 in self.p.flows:
            self.broker.add_cash(self.p.flows[len(self) - 1])


def play(prices, flows, size=0.0):
    from strategies.analyzers import EquityCurve

    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(bars(prices))
    cerebro.setbroker(free_broker())
    cerebro.addstrategy(Owner, flows=flows, size=size)
    cerebro.addanalyzer(EquityCurve)
    return cerebro.run()[0]


def test_deposits_and_withdrawals_are_recorded_with_the_close_they_belong_to():
    strategy = play([100, 100, 110, 110, 110], {1: 5_000.0, 3: -2_000.0}, size=10)
    assert strategy.broker.cash_flows == [(START + 2 * HOUR, 5_000.0), (START + 4 * HOUR, -2_000.0)]
    # Each flow is in the equity of its bar, so the return without it is (equity - flow) / equity before.
    equity = equity_of(strategy)
    assert equity == [10_000.0, 15_000.0, 15_100.0, 13_100.0, 13_100.0]
    flows = [0.0, 5_000.0, 0.0, -2_000.0, 0.0]
    returns = [(e - f) / before - 1 for e, f, before in zip(equity[1:], flows[1:], equity, strict=False)]
    assert returns == pytest.approx([0.0, 100 / 15_000, 0.0, 0.0])


def test_margin_cannot_be_withdrawn():
    # 90 units at 100 at 10x need 900; 9,100 are free.
    with pytest.raises(
        ValueError, match=r"withdrawal: at most 9,100.00 is not needed as margin, found 9,101.00"
    ):
        play([100] * 4, {2: -9_101.0}, size=90)
    assert equity_of(play([100] * 4, {2: -9_100.0}, size=90))[-1] == 900.0


def test_cash_before_the_first_bar_is_starting_cash():
    broker = free_broker()
    broker.add_cash(5_000.0)
    strategy = run(bars([100, 100, 110]), {0: [trade(10)]}, broker, cash=15_000.0)
    assert broker.cash_flows == []
    assert equity_of(strategy)[-1] == 15_100.0
    assert PerpetualBroker(cash=7.0).getvalue() == 7.0


def test_flows_are_forgotten_at_the_start_of_the_next_run():
    strategy = play([100] * 3, {1: 100.0})
    broker = strategy.broker
    assert len(broker.cash_flows) == 1
    run(bars([100] * 3), {}, broker)
    assert broker.cash_flows == []
