"""The equity columns have one row per bar; the ratio analyzers work without them."""

import math
import pickle

import backtrader as bt
import pytest

from strategies.analyzers import Drawdown, EquityCurve, Orders, Sharpe, Sortino, Trades
from tests.strategies.market import HOUR, START, Script, bars, free_broker, run, trade

SCALARS = (EquityCurve, Sharpe, Sortino, Drawdown)


def test_c10_equity_exposure_and_gross_have_a_row_for_each_bar():
    datas = [bars([100, 100, 110, 120], symbol="A"), bars([50, 50, 60, 50], symbol="B")]
    strategy = run(datas, {0: [trade(50, 0), trade(-40, 1)]})
    curve = strategy.analyzers.equitycurve.get_analysis()
    assert curve["time"].tolist() == [START + HOUR * i for i in (1, 2, 3, 4)]
    assert curve["equity"].tolist() == pytest.approx([10_000, 10_000, 10_100, 11_000])
    assert curve["cash"].tolist() == pytest.approx([10_000, 7_000, 7_000, 7_000])
    assert curve["exposure"].tolist() == pytest.approx([0, 0.3, 3_100 / 10_100, 4_000 / 11_000])
    assert curve["gross"].tolist() == pytest.approx([0, 0.7, 7_900 / 10_100, 8_000 / 11_000])


def test_c9_hourly_sharpe_and_sortino_are_annualised_by_8760_hours_without_a_risk_free_rate():
    # Equity 10 000, 10 000, 11 000, 9 900, 10 890: returns 0, +10 %, -10 %, +10 %.
    strategy = run(bars([100, 100, 110, 99, 108.9]), {0: [trade(100)]}, analyzers=SCALARS)
    mean, root = 0.025, math.sqrt(8760)
    variance = (0.025**2 + 0.075**2 * 2 + 0.125**2) / 3
    sharpe = strategy.analyzers.sharpe.get_analysis()["sharpe_ratio"]
    assert sharpe == pytest.approx(mean / math.sqrt(variance) * root)
    assert strategy.analyzers.sortino.get_analysis()["sortino_ratio"] == pytest.approx(mean / 0.05 * root)
    backtraders = run(
        bars([100, 100, 110, 99, 108.9]), {0: [trade(100)]}, analyzers=[bt.analyzers.SharpeRatio]
    )
    assert backtraders.analyzers.sharperatio.get_analysis()["sharperatio"] is None


def test_drawdown_has_a_depth_a_length_and_a_state():
    strategy = run(bars([100, 100, 110, 99, 104.5, 112, 111]), {0: [trade(100)]}, analyzers=SCALARS)
    figures = strategy.analyzers.drawdown.get_analysis()
    assert figures["max_drawdown"] == pytest.approx(-0.1)
    assert figures["max_drawdown_bars"] == 2
    assert figures["drawdown"] == pytest.approx(11_100 / 11_200 - 1)


def test_a_run_of_one_bar_has_a_curve_and_no_ratios():
    strategy = run(bars([100]), {}, analyzers=SCALARS)
    assert strategy.analyzers.equitycurve.get_analysis()["equity"].tolist() == [10_000.0]
    assert strategy.analyzers.sharpe.get_analysis() == {"sharpe_ratio": None}
    assert strategy.analyzers.drawdown.get_analysis() == {
        "max_drawdown": 0.0,
        "max_drawdown_bars": 0,
        "drawdown": 0.0,
    }


def test_a_ruined_account_has_no_exposure():
    strategy = run(bars([100, 100, (100, 100, 30, 30), 30]), {0: [trade(1000)]}, analyzers=SCALARS)
    curve = strategy.analyzers.equitycurve.get_analysis()
    assert curve["exposure"].tolist() == [0.0, 10.0, 0.0, 0.0]
    assert strategy.analyzers.drawdown.get_analysis()["max_drawdown"] == -1.0


class Warm(bt.Strategy):
    def __init__(self):
        bt.indicators.SMA(self.data.close, period=3)


@pytest.mark.parametrize(
    ("params", "first"),
    [({}, 3), ({"warmup": True}, 1), ({"trade_from": START + 4 * HOUR}, 4)],
)
def test_the_curve_begins_where_the_strategy_can_trade(params, first):
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(bars([100] * 6))
    cerebro.addstrategy(Warm)
    cerebro.addanalyzer(EquityCurve, **params)
    cerebro.addanalyzer(Drawdown, **params)
    curve = cerebro.run()[0].analyzers.equitycurve.get_analysis()
    assert curve["time"].tolist() == [START + HOUR * i for i in range(first, 7)]


@pytest.mark.parametrize("maxcpus", [1, 2])
def test_analyzers_survive_optstrategy_in_this_process_and_in_others(maxcpus):
    cerebro = bt.Cerebro(stdstats=False, maxcpus=maxcpus)
    cerebro.adddata(bars([100, 100, 110, 120, 120], {2: 0.001}))
    cerebro.setbroker(free_broker())
    cerebro.optstrategy(Script, orders=[{0: [trade(10)]}, {0: [trade(-10)], 2: [trade(10)]}])
    for analyzer in (*SCALARS, Orders, Trades):
        cerebro.addanalyzer(analyzer)
    results = [run[0].analyzers for run in cerebro.run()]
    assert [r.equitycurve.get_analysis()["equity"][-1] for r in results] == pytest.approx([10_198.9, 9_801.1])
    assert [r.trades.get_analysis()["n_trades"] for r in results] == [0, 1]
    assert [r.trades.get_analysis()["open"]["funding"].tolist() for r in results] == [
        [pytest.approx(1.1)],
        [],
    ]
    assert [len(r.orders.get_analysis()["time"]) for r in results] == [1, 2]
    for analyzer in results[0]:
        assert pickle.loads(pickle.dumps(analyzer.get_analysis())).keys()  # noqa: S301 - our own bytes
