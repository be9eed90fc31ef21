"""A commission scheme of the user's on Backtrader's own broker: its multiplier is part of every exposure."""

import backtrader as bt
import numpy as np
import pytest

from feeds import BarsData
from strategies import EquityCurve, Orders, PerpetualCommission, ScoreStrategy, Trades
from tests.strategies.cerebro.own import OPEN, market

CASH, MULT = 100_000.0, 10.0

SCHEMES = {
    "futures": {"commission": 0.0, "mult": MULT, "margin": 50.0},
    "futures, a fee a contract": {"commission": 2.0, "mult": MULT, "margin": 50.0},
}


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
def test_recorded_exposures_are_real_ones(tiny_model, scheme):
    cerebro = bt.Cerebro(stdstats=False)
    frame = market().drop(columns="funding_rate")
    cerebro.adddata(BarsData(dataname=frame), name="FUT")
    cerebro.broker.setcash(CASH)
    cerebro.broker.addcommissioninfo(bt.CommInfoBase(**scheme))
    cerebro.addstrategy(ScoreStrategy, model=tiny_model, **{**OPEN, "max_exposure": 0.5})
    for analyzer in (EquityCurve, Orders, Trades):
        cerebro.addanalyzer(analyzer, _name=analyzer.__name__.lower())
    strategy = cerebro.run()[0]
    orders = strategy.analyzers.orders.get_analysis()
    done = np.array(orders["status"]) == "completed"
    assert done.sum() > 20

    # By hand: contracts held at each close, and the money that they made with 10 units of the asset each.
    closes, opens = frame["close"].to_numpy(), frame["open"].to_numpy()
    times = frame["timestamp"].to_numpy() + 3_600_000
    held, cash, expected = 0.0, CASH, []
    for row, time in enumerate(times):
        filled = np.flatnonzero(done & (orders["time"] == time))
        for order in filled:
            assert orders["price"][order] == pytest.approx(opens[row], rel=1e-12)
            cash -= (
                orders["size"][order] * MULT * opens[row] + abs(orders["size"][order]) * scheme["commission"]
            )
            held += orders["size"][order]
        equity = cash + held * MULT * closes[row]
        expected.append((equity, held * MULT * closes[row] / equity))
    equity, exposure = np.array(expected).T

    decisions = strategy.decisions.columns()
    np.testing.assert_allclose(decisions["position"][20:], exposure[20:], rtol=1e-9, atol=1e-12)
    assert 0.2 < np.abs(exposure).max() < 0.6  # not ten times that
    curve = strategy.analyzers.equitycurve.get_analysis()
    np.testing.assert_allclose(curve["equity"], equity[-len(curve["equity"]) :], rtol=1e-9)
    np.testing.assert_allclose(curve["exposure"], exposure[-len(curve["exposure"]) :], rtol=1e-9, atol=1e-12)
    trades = strategy.analyzers.trades.get_analysis()
    made = trades["closed"]["net_pnl"].sum() + trades["open"]["net_pnl"].sum()
    assert made == pytest.approx(equity[-1] - CASH, rel=1e-9)


def test_a_stock_with_a_multiplier_is_refused_because_backtrader_values_it_without(tiny_model):
    def run(commission):
        cerebro = bt.Cerebro(stdstats=False)
        cerebro.adddata(BarsData(dataname=market(bars=60)), name="FUT")
        cerebro.broker.addcommissioninfo(commission)
        cerebro.addstrategy(ScoreStrategy, model=tiny_model, **OPEN)
        return cerebro.run()[0]

    with pytest.raises(ValueError, match=r"FUT: Backtrader values a stock position without its mult \(10\)"):
        run(bt.CommInfoBase(mult=10.0, stocklike=True))
    position = run(PerpetualCommission(mult=10.0, lot_step=0.0, min_notional=0.0)).decisions.columns()[
        "position"
    ]
    assert 0.1 < np.abs(position).max() < 1.1
