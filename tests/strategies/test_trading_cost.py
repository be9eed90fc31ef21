"""The cost of a market order in every kind of account."""

import backtrader as bt
import pytest

from strategies import PerpetualBroker, PerpetualCommission
from strategies.account import Costs
from strategies.trading_cost import trading_cost
from tests.strategies.market import bars


def broker_with(*schemes, **percent):
    broker = bt.brokers.BackBroker()
    for scheme in schemes:
        broker.addcommissioninfo(scheme)
    if percent:
        broker.set_slippage_perc(percent["slippage"])
    return broker


@pytest.mark.parametrize(
    ("broker", "cost"),
    [
        (PerpetualBroker(costs=Costs(taker=0.001, slippage=0.0005)), 0.0015),
        (PerpetualBroker(slippage=0.0, commission=PerpetualCommission(taker=0.0)), 0.0),
        (PerpetualBroker(slippage=0.002, commission=PerpetualCommission(taker=0.0)), 0.002),
        (broker_with(), 0.0),
        (broker_with(PerpetualCommission(taker=0.001), slippage=0.0005), 0.0015),
        (broker_with(bt.CommissionInfo(commission=0.001)), 0.001),
        (broker_with(bt.CommInfoBase(commission=0.1, commtype=bt.CommInfoBase.COMM_PERC)), 0.001),
        (broker_with(bt.CommissionInfo(commission=2.0, margin=1000.0, mult=10.0)), 0.0),
    ],
    ids=["perpetual", "free", "slippage", "stock", "both", "percent", "percent of 100", "contract"],
)
def test_fee_and_slippage_add_up(broker, cost):
    assert trading_cost(broker, bars([100.0])) == pytest.approx(cost, abs=1e-15)
