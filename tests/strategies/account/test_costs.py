"""The costs are validated, and are the same in a user's Cerebro and on the command line."""

import math
from dataclasses import fields

import backtrader as bt
import pytest

from feeds import BarsData, simulate
from feeds.instruments import Instrument
from runs.engine import build
from runs.settings import Account
from strategies import BuyAndHold, Costs, PerpetualBroker, PerpetualCommission, ScoreStrategy

NAMES = [item.name for item in fields(Costs)]


def of_broker(cerebro):
    return cerebro.broker.costs_of(cerebro.datas[0])


def test_the_readme_and_the_command_line_trade_at_the_same_costs(tiny_model):
    frame = simulate("planted", seed=1, bars=60)
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.setbroker(PerpetualBroker(cash=10_000, slippage=0.0002))
    cerebro.adddata(BarsData(dataname=frame))
    cerebro.addstrategy(ScoreStrategy, model=tiny_model, density_quantile=0.05)
    own, line = of_broker(cerebro), of_broker(build([frame], Account(), BuyAndHold, {}))
    assert len(NAMES) >= 10
    for name in NAMES:
        assert getattr(own, name) == getattr(line, name), name
    assert cerebro.broker.startingcash == Account().cash


def test_a_commission_scheme_charges_what_the_costs_say():
    costs = Costs(
        taker=0.001, maker=-0.0001, lot_step=0.5, min_notional=7.0, margin_leverage=4.0, funding=False
    )
    scheme = PerpetualCommission.of(costs)
    assert scheme.costs == costs
    assert (scheme.fee(2.0, 100.0), scheme.fee(-2.0, 100.0, maker=True)) == (0.2, -0.02)
    assert scheme.get_leverage() == scheme.p.margin_leverage == 4.0


def test_leverage_is_another_name_of_margin_leverage():
    scheme = PerpetualCommission(leverage=3.0)
    assert scheme.costs.margin_leverage == scheme.p.margin_leverage == scheme.get_leverage() == 3.0
    assert PerpetualCommission(leverage=3.0, margin_leverage=3.0).costs == scheme.costs


def test_a_broker_takes_costs_and_a_slippage_of_its_own():
    data = BarsData(dataname=simulate("planted", seed=1, bars=60))
    costs = Costs(slippage=0.003, taker=0.002)
    assert PerpetualBroker(costs=costs).costs_of(data) == costs
    assert PerpetualBroker(costs=costs, slippage=0.0).costs_of(data) == Costs(slippage=0.0, taker=0.002)
    broker = PerpetualBroker(costs=costs)
    broker.setcommission(0.001, 5.0)
    assert broker.costs_of(data) == Costs(slippage=0.003, taker=0.001, maker=0.001, margin_leverage=5.0)
    with pytest.raises(ValueError, match="pass only one of them"):
        PerpetualBroker(costs=costs, commission=PerpetualCommission())


def test_an_instrument_brings_its_order_sizes():
    instrument = Instrument(
        "BTC/USDT:USDT", "BTCUSDT", "linear", 0.1, 0.01, 0.02, 7.0, 480, None, True, max_quantity=3.0
    )
    costs = Costs.for_instrument(instrument, taker=0.001)
    assert costs == Costs(
        lot_step=0.01, min_size=0.02, min_notional=7.0, max_size=3.0, tick_size=0.1, taker=0.001
    )
    assert Costs.for_instrument(instrument, min_size=0.5).min_size == 0.5


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("taker", -1e-9),
        ("slippage", 1.0),
        ("maker", -0.0101),
        ("maker", math.nan),
        ("lot_step", math.inf),
        ("min_size", "1"),
        ("min_notional", True),
        ("max_size", -1.0),
        ("margin_leverage", 0.99),
        ("maintenance_margin", 0.1),
        ("funding", 1),
        ("half_spread", 1.0),
        ("impact", -0.1),
        ("participation", 1.1),
        ("tick_size", -0.1),
        ("mult", 0.0),
        ("margin_mode", "portfolio"),
        ("contract", "option"),
    ],
)
def test_an_impossible_cost_is_refused_by_name(name, value):
    with pytest.raises(ValueError, match=f"^{name}: expected ") as caught:
        Costs(**{name: value})
    assert str(caught.value).endswith(f"found {value!r}")


def test_a_largest_order_below_the_smallest_is_refused():
    with pytest.raises(
        ValueError, match=r"max_size: expected 0 \(no limit\) or at least min_size = 2, found 1.0"
    ):
        Costs(min_size=2.0, max_size=1.0)
    assert Costs(min_size=2.0, max_size=2.0).max_size == 2.0
