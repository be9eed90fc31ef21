"""Traded datas are named; the other datas and indicators of a Cerebro are the user's."""

import backtrader as bt
import numpy as np
import pytest

from feeds import BarsData
from scorenet import FeatureMismatch
from strategies import EquityCurve, PerpetualBroker, ScoreStrategy
from tests.strategies.cerebro.own import BARS, HOUR, MODES, OPEN, cerebro_of, log_of, market


class Above(ScoreStrategy):
    """Trade only while the last day closed above its mean of three days."""

    def __init__(self):
        super().__init__()
        self.mean = bt.indicators.SMA(self.getdatabyname("daily"), period=3)
        self.asked = []

    def allow(self, symbol, target):
        self.asked.append((symbol, len(self.mean), self.mean[0]))
        return self.getdatabyname("daily").close[0] > self.mean[0]


@pytest.mark.parametrize("mode", MODES)
def test_a_daily_filter_data_changes_nothing_of_the_traded_one(tiny_model, mode):
    frame = market(bars=60)
    alone = cerebro_of([frame], tiny_model, mode=mode).run()[0]
    beside = cerebro_of([frame], tiny_model, mode=mode, daily=True, datas="BTC").run()[0]
    (first, numbers), (second, others) = log_of(alone), log_of(beside)
    assert beside.decisions.columns()["symbol"].tolist() == ["BTC"] * 60
    # A daily bar is complete at the end of its day; before it, this data cannot be read, and nothing is decided.
    assert second[:23] == ["warmup"] * 23
    assert first[20:23] == ["trade"] * 3
    assert second[23:] == first[23:]
    np.testing.assert_array_equal(numbers[[0, 1, 3, 4], 23:], others[[0, 1, 3, 4], 23:])


@pytest.mark.parametrize("mode", MODES)
def test_a_filter_is_asked_only_when_its_indicator_is_known_and_alike_in_every_mode(tiny_model, mode):
    strategy = cerebro_of([market()], tiny_model, Above, mode=mode, daily=True, datas=["BTC"]).run()[0]
    assert min(bars for _, bars, _ in strategy.asked) == 3
    assert np.isfinite([mean for _, _, mean in strategy.asked]).all()
    reasons, numbers = log_of(strategy)
    assert reasons[: 3 * 24 - 1] == ["warmup"] * (3 * 24 - 1)
    assert {"refused", "trade"} <= set(reasons[3 * 24 :])
    expected, same = log_of(cerebro_of([market()], tiny_model, Above, daily=True, datas=["BTC"]).run()[0])
    assert reasons == expected
    np.testing.assert_array_equal(numbers, same)


def test_datas_are_named_by_object_name_or_number(tiny_model):
    for named in (
        lambda data: data,
        lambda data: "ETH",
        lambda data: 1,
        lambda data: [data],
        lambda data: (-2,),
    ):
        cerebro = cerebro_of([market(), market(4, symbol="ETH")], tiny_model, daily=True)
        cerebro.strats.clear()
        cerebro.addstrategy(ScoreStrategy, model=tiny_model, datas=named(cerebro.datas[1]), **OPEN)
        strategy = cerebro.run()[0]
        assert [data._name for data in strategy.traded] == ["ETH"]
        assert set(strategy.decisions.columns()["symbol"]) == {"ETH"}


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("BCT", "no data is called 'BCT'; did you mean 'BTC'\\?; Cerebro has 0: 'BTC', 1: 'daily'"),
        (2, "expected a data of this Cerebro, its name or its number, found 2"),
        ([], "expected datas to trade, each once, found \\[\\]"),
        (["BTC", 0], "each once"),
        (True, "found True"),
    ],
)
def test_an_unknown_data_is_an_error_that_lists_them(tiny_model, wanted, said):
    with pytest.raises(ValueError, match=said):
        cerebro_of([market()], tiny_model, daily=True, datas=wanted).run()


def test_without_names_the_error_has_the_line_that_mends_it(tiny_model):
    with pytest.raises(FeatureMismatch, match="1h, the model's size, found daily of 1d too") as caught:
        cerebro_of([market()], tiny_model, daily=True).run()
    line = str(caught.value).rsplit(": ", 1)[1]
    assert line == "cerebro.addstrategy(ScoreStrategy, model=..., datas=['BTC'])"
    cerebro = cerebro_of([market()], tiny_model, daily=True)
    cerebro.strats.clear()
    names = {"cerebro": cerebro, "ScoreStrategy": ScoreStrategy, "model": tiny_model}
    exec(line.replace("model=...", "model=model"), names)  # noqa: S102
    assert len(cerebro.run()[0].decisions) == BARS


def test_backtraders_own_resampling_beside_the_traded_data(tiny_model):
    cerebro = bt.Cerebro(stdstats=False)
    data = BarsData(dataname=market())
    cerebro.adddata(data, name="BTC")
    cerebro.resampledata(data, name="4h", timeframe=bt.TimeFrame.Minutes, compression=240)
    cerebro.setbroker(PerpetualBroker())
    cerebro.addstrategy(ScoreStrategy, model=tiny_model, datas="BTC", **OPEN)
    strategy = cerebro.run()[0]
    assert set(strategy.decisions.columns()["symbol"]) == {"BTC"}
    assert len(strategy.datas[1]) == BARS // 4


def test_equity_counts_from_the_bar_at_which_the_traded_data_can_be_traded(tiny_model):
    cerebro = cerebro_of([market()], tiny_model, daily=True, datas="BTC")
    cerebro.addanalyzer(EquityCurve, _name="equity")
    strategy = cerebro.run()[0]
    first = strategy.analyzers.equity.get_analysis()["time"][0]
    assert first == market()["timestamp"].iloc[tiny_model.lookback] + HOUR


@pytest.mark.parametrize("cpus", [1, 2])
def test_optstrategy_leaves_out_a_bad_set_and_finishes_the_others(tiny_model_dir, cpus, caplog):
    cerebro = cerebro_of([market(bars=80)], tiny_model_dir, daily=True)
    cerebro.strats.clear()
    cerebro.optstrategy(
        ScoreStrategy,
        model=str(tiny_model_dir),
        datas=["BTC"],
        density_quantile=[0.0, 1.5, 0.05],
        direction="long",
    )
    trials = [trial for found in cerebro.run(maxcpus=cpus) for trial in found]
    assert [trial.p.density_quantile for trial in trials] == [0.0, 0.05]
    assert [trial.p.datas for trial in trials] == ["BTC", "BTC"]
    if cpus == 1:
        assert "left out: density_quantile: expected a number between 0 and 1, found 1.5" in caplog.text


def test_a_bad_set_outside_an_optimisation_is_an_error(tiny_model):
    with pytest.raises(ValueError, match="density_quantile"):
        cerebro_of([market(bars=60)], tiny_model, density_quantile=1.5).run()


def test_two_traded_datas_of_one_name_are_refused(tiny_model):
    frames = [market(seed=seed, symbol="BTC", bars=40) for seed in (3, 4)]
    with pytest.raises(ValueError, match="two of the datas to trade are called 'BTC'"):
        cerebro_of(frames, tiny_model).run()
    assert cerebro_of(frames, tiny_model, datas=[0]).run()[0].traded[0]._name == "BTC"


def test_two_strategies_that_trade_one_data_are_refused_and_on_two_datas_are_not(tiny_model):
    frames = [market(seed=seed, symbol=name, bars=40) for seed, name in ((3, "A"), (4, "B"))]
    cerebro = cerebro_of(frames, tiny_model, datas="A")
    cerebro.addstrategy(ScoreStrategy, model=tiny_model, **OPEN)
    with pytest.raises(
        ValueError, match="another ScoreStrategy of this Cerebro trades A in the same account"
    ):
        cerebro.run()
    cerebro = cerebro_of(frames, tiny_model, datas="A")
    cerebro.addstrategy(ScoreStrategy, model=tiny_model, datas="B", **OPEN)
    for _ in range(2):  # a Cerebro may run again
        assert [strategy.traded[0]._name for strategy in cerebro.run()] == ["A", "B"]
