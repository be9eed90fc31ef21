"""The run folder of one's own Cerebro: any strategy, our account or Backtrader's, and what a missing analyzer says."""

import backtrader as bt
import numpy as np
import pandas as pd
import pytest

from feeds import BarsData, simulate
from runs.folder.rundir import RunDir
from scorenet import add_scorenet_analyzers, report
from strategies import Costs, EquityCurve, PerpetualBroker, PerpetualCommission, ScoreStrategy

HOUR = 3_600_000


class Cross(bt.Strategy):
    """Not a strategy of ours: long above a mean of 20 bars, else flat."""

    def __init__(self):
        self.mean = bt.indicators.SMA(self.data, period=20)

    def next(self):
        self.order_target_size(target=10 if self.data.close[0] > self.mean[0] else 0)


@pytest.fixture(autouse=True)
def _without_page(monkeypatch):
    """The page takes a second; tests/test_examples.py writes it."""
    monkeypatch.setattr("runs.folder.write.write_report", lambda folder: folder.write_report("page"))


def frame(bars=200, symbol="BTC/USDT:USDT", seed=3):
    return simulate("planted", seed=seed, bars=bars, symbol=symbol)


def cerebro_of(strategy, frames, broker=None, **params):
    cerebro = bt.Cerebro(stdstats=False)
    for one in frames:
        cerebro.adddata(BarsData(dataname=one), name=one.attrs["symbol"])
    if broker is not None:
        cerebro.setbroker(broker)
    cerebro.addstrategy(strategy, **params)
    add_scorenet_analyzers(cerebro)
    return cerebro


def test_a_plain_strategy_on_backtraders_own_broker(tmp_path):
    bars = frame().drop(columns="funding_rate")
    cerebro = cerebro_of(Cross, [bars])
    cerebro.broker.setcommission(commission=0.001)
    cerebro.run()
    page = report(cerebro, tmp_path / "mine")
    assert page.read_text() == "page"
    run = RunDir.open(tmp_path / "mine")
    metrics, equity, orders = run.read_metrics(), run.read_frame("equity"), run.read_frame("orders")
    # By hand: cash, and what 10 units cost at each open after an order.
    worth, cash = bars.set_index(bars["timestamp"] + HOUR), 10_000.0
    for row in orders.itertuples():
        at = worth.loc[int(row.time.timestamp() * 1000)]
        assert row.price == pytest.approx(at["open"], rel=1e-12)
        cash -= row.size * row.price + 0.001 * abs(row.size) * row.price
    last = 10_000.0 * (1 + metrics["total_return"])
    assert last == pytest.approx(cash + orders["size"].sum() * bars["close"].iloc[-1], rel=1e-9)
    assert metrics["n_orders"] == len(orders) > 5
    assert metrics["fees"] == pytest.approx(0.001 * (orders["size"].abs() * orders["price"]).sum())
    # The benchmark pays the same fee and no slippage, at the first open after the first recorded bar.
    begins = int(equity["time"].iloc[0].timestamp() * 1000)
    entry = worth.loc[begins + HOUR]["open"]
    held = bars["close"].iloc[-1] / (entry * 1.001)
    assert metrics["benchmark"]["total_return"] == pytest.approx(held - 1, rel=1e-9)
    config, manifest = run.read_config(), run.read_manifest()
    assert (config["class"], config["bars"], config["account"]["taker"]) == (
        "Cross",
        ["BTC/USDT:USDT"],
        0.001,
    )
    assert manifest["model"] is None
    assert manifest["data"][0]["rows"] == 200
    assert len(run.read_frame("decisions")) == 0


def test_our_strategy_with_a_filter_data_and_costs_of_its_own(tiny_model, tiny_model_dir, tmp_path):
    broker = PerpetualBroker(costs=Costs(taker=0.0004))
    frames = [frame(), frame(symbol="ETH/USDT:USDT", seed=4), frame(symbol="FILTER", seed=5)]
    broker.addcommissioninfo(PerpetualCommission(taker=0.0009), name="ETH/USDT:USDT")
    traded = ["BTC/USDT:USDT", "ETH/USDT:USDT"]
    cerebro = cerebro_of(ScoreStrategy, frames, broker, model=str(tiny_model_dir), datas=traded)
    (strategy,) = cerebro.run()
    report(strategy, tmp_path / "mine")
    run = RunDir.open(tmp_path / "mine")
    metrics, manifest, config = run.read_metrics(), run.read_manifest(), run.read_config()
    assert 10_000 * (1 + metrics["total_return"]) == pytest.approx(broker.getvalue(), rel=1e-9)
    assert [series["symbol"] for series in manifest["data"]] == traded
    assert manifest["model"]["fingerprint"] == tiny_model.fingerprint
    assert manifest["model"]["path"] == config["model"] == str(tiny_model_dir)
    assert any("trained, calibrated or measured" in warning for warning in manifest["warnings"])
    assert config["account"]["taker"] == 0.0004
    assert config["account"]["symbols"] == {"ETH/USDT:USDT": {"taker": 0.0009}}
    assert config["strategy"]["datas"] == traded
    decisions = run.read_frame("decisions")
    assert set(decisions["symbol"]) == set(traded)


def test_pandas_data_without_volume_or_symbol(tmp_path):
    bars = frame(60)
    index = pd.to_datetime(bars["timestamp"] + HOUR, unit="ms")
    data = bt.feeds.PandasData(
        dataname=bars[["open", "high", "low", "close"]].set_index(index),
        timeframe=bt.TimeFrame.Minutes,
        compression=60,
    )
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(data)
    cerebro.addstrategy(Cross)
    add_scorenet_analyzers(cerebro)
    report(cerebro.run(), tmp_path / "mine")
    (series,) = RunDir.open(tmp_path / "mine").read_manifest()["data"]
    assert (series["symbol"], series["timeframe"], series["rows"]) == ("data1", "1h", 60)


def test_a_missing_analyzer_is_named_with_the_line_that_adds_it(tmp_path):
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(BarsData(dataname=frame(60)))
    cerebro.addstrategy(Cross)
    cerebro.addanalyzer(EquityCurve)
    run = cerebro.run()
    with pytest.raises(
        ValueError, match=r"needs the analyzer\(s\) Orders, .*scorenet.add_scorenet_analyzers\(cerebro\)"
    ):
        report(run, tmp_path / "mine")
    assert not (tmp_path / "mine").exists()


def test_what_is_no_finished_run_of_one_strategy_is_an_error(tmp_path):
    cerebro = cerebro_of(Cross, [frame(60)])
    with pytest.raises(TypeError, match=r"found 0; call cerebro.run\(\) first"):
        report(cerebro, tmp_path / "mine")
    cerebro.addstrategy(Cross)
    with pytest.raises(TypeError, match=r"found 2; .* pass one: report\(cerebro.run\(\)\[0\], out\)"):
        report(cerebro.run(), tmp_path / "mine")
    with pytest.raises(TypeError, match="expected a Cerebro that has run, or its strategy, found str"):
        report("out/run", tmp_path / "mine")


def test_bounded_buffers_keep_no_bars_for_a_report(tmp_path):
    cerebro = bt.Cerebro(stdstats=False, exactbars=1)
    cerebro.adddata(BarsData(dataname=frame(60)))
    cerebro.addstrategy(Cross)
    add_scorenet_analyzers(cerebro)
    with pytest.raises(
        ValueError, match=r"exactbars keeps only the last; run with bt.Cerebro\(exactbars=False\)"
    ):
        report(cerebro.run(), tmp_path / "mine")


def test_a_run_without_a_recorded_bar_has_no_report(tmp_path):
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(BarsData(dataname=frame(60)))
    cerebro.addstrategy(Cross)
    add_scorenet_analyzers(cerebro, trade_from="2030-01-01")
    with pytest.raises(ValueError, match="recorded no bar; give the run more bars, or an earlier trade_from"):
        report(cerebro.run(), tmp_path / "mine")


def test_the_equity_of_the_folder_is_that_of_the_account(tmp_path):
    cerebro = cerebro_of(Cross, [frame()], PerpetualBroker(cash=5_000))
    (strategy,) = cerebro.run()
    report(cerebro, tmp_path / "mine")
    written = RunDir.open(tmp_path / "mine").read_frame("equity")["equity"].to_numpy()
    np.testing.assert_array_equal(written, strategy.analyzers.equity.get_analysis()["equity"])
