"""The indicators equal the feature set and the model on arrays bit for bit, in all modes of Cerebro."""

import itertools
import math

import backtrader as bt
import numpy as np
import pandas as pd
import pytest

from feeds import BarsData, ReplayData, simulate, to_arrays
from scorenet import Evaluation, FeatureMismatch, feature_set
from strategies.indicators import MarketScore, MarketState
from strategies.models import precompute, resolve_model
from strategies.schedule import ModelSchedule
from tests.strategies.market import RecordedData, with_attrs

MODES = [
    {"runonce": runonce, "preload": preload, "exactbars": exactbars}
    for runonce, preload, exactbars in itertools.product((True, False), (True, False), (0, 1, -1))
]
CHAPTER = feature_set("chapter").names
HOUR = 3_600_000


class Recorder(bt.Strategy):
    """Record the lines of one indicator at every bar."""

    params = (("indicator", None), ("arguments", None), ("names", ()))

    def __init__(self):
        indicator = self.p.indicator(self.data, **self.p.arguments)
        self.lines_read = [getattr(indicator.lines, name) for name in self.p.names]
        self.rows, self.first = [], None

    def next(self):
        if self.first is None:
            self.first = len(self.data)
        self.rows.append([line[0] for line in self.lines_read])


def play(data, indicator, names, modes, **arguments):
    cerebro = bt.Cerebro(stdstats=False, **modes)
    cerebro.adddata(data)
    cerebro.addstrategy(Recorder, indicator=indicator, arguments=arguments, names=names)
    recorder = cerebro.run()[0]
    return np.array(recorder.rows), recorder.first


@pytest.fixture(scope="module")
def frame():
    """Three hundred bars with a gap of two bars."""
    bars = simulate("regimes", seed=3, bars=302)
    return with_attrs(bars.drop(index=[150, 151]).reset_index(drop=True), bars)


def columns(frame):
    arrays = to_arrays(frame)
    return {**arrays, "timestamp": arrays["timestamp"] + HOUR}


@pytest.mark.parametrize("modes", MODES, ids=str)
def test_market_state_is_the_feature_set_on_arrays(frame, modes):
    expected = feature_set("chapter").compute(columns(frame), HOUR)[20:]
    found, first = play(BarsData(dataname=frame), MarketState, CHAPTER, modes, features="chapter")
    assert first == 21
    np.testing.assert_array_equal(found, expected)
    assert np.isnan(found).all(axis=1).sum() == 20, "no state spans the hole"


@pytest.mark.parametrize(
    ("modes", "signal"),
    [*((modes, "forward") for modes in MODES), *((modes, "state") for modes in MODES[:2])],
    ids=str,
)
def test_market_score_is_the_model_on_arrays(frame, tiny_model, modes, signal):
    expected = np.stack(tiny_model.evaluate(columns(frame), signal, HOUR, tails=True), axis=1)[20:]
    params = {"model": tiny_model, "signal": signal, "tails": True}
    found, first = play(BarsData(dataname=frame), MarketScore, Evaluation._fields, modes, **params)
    assert first == tiny_model.lookback + 1
    np.testing.assert_array_equal(found, expected)
    assert np.isfinite(found).all(axis=1).sum() == len(frame) - 40


def test_a_live_feed_shows_the_same(frame, tiny_model):
    history, _ = play(BarsData(dataname=frame), MarketScore, Evaluation._fields, {}, model=tiny_model)
    live, first = play(ReplayData(dataname=frame), MarketScore, Evaluation._fields, {}, model=tiny_model)
    assert first == 21
    np.testing.assert_array_equal(live, history)


@pytest.mark.parametrize("signal", ["forward", "state"])
@pytest.mark.parametrize("bars", [21, 22, 63, 64, 65, 300])
def test_recorded_bars_have_the_same_outputs_and_are_evaluated_together(
    frame, tiny_model, monkeypatch, bars, signal
):
    alone = []
    evaluate_last = ModelSchedule.evaluate_last
    monkeypatch.setattr(
        ModelSchedule, "evaluate_last", lambda *a, **k: alone.append(a) or evaluate_last(*a, **k)
    )
    params = {"model": tiny_model, "signal": signal, "tails": True}
    short = with_attrs(frame[:bars], frame)
    history, _ = play(BarsData(dataname=short), MarketScore, Evaluation._fields, {}, **params)
    found, first = play(RecordedData(dataname=short), MarketScore, Evaluation._fields, {}, **params)
    assert first == 21
    np.testing.assert_array_equal(found, history)
    assert len(alone) == (bars in (21, 65)), "a bar that no recorded one follows is evaluated alone"


def test_a_tail_of_the_bars_gives_the_same_last_value(frame, tiny_model):
    whole = np.stack(tiny_model.evaluate(columns(frame), "forward", HOUR), axis=1)
    for row in (20, 21, 149, 170, 171, 299):
        tail = {name: values[row - 20 : row + 1] for name, values in columns(frame).items()}
        np.testing.assert_array_equal(
            [values[-1] for values in tiny_model.evaluate(tail, "forward", HOUR)], whole[row]
        )


@pytest.mark.parametrize("modes", MODES[:2], ids=str)
@pytest.mark.parametrize("bars", [19, 20, 21])
def test_the_first_state_needs_one_bar_more_than_the_lookback(frame, tiny_model, bars, modes):
    short = with_attrs(frame.iloc[:bars].reset_index(drop=True), frame)
    found, first = play(BarsData(dataname=short), MarketScore, ("signal",), modes, model=tiny_model)
    assert (len(found), first) == ((1, 21) if bars == 21 else (0, None))


@pytest.mark.parametrize("modes", MODES[::3], ids=str)
def test_the_extended_state_degrades_by_name_where_a_feed_has_no_funding(modes):
    frame = simulate("regimes", seed=4, bars=760)
    names = feature_set("extended").names
    stock = stock_data(frame)
    found, first = play(stock, MarketState, names, modes, features="extended")
    assert first == 721
    missing = {name for name, column in zip(names, found.T, strict=True) if np.isnan(column).all()}
    assert missing == {"funding_24", "funding_168", "open_interest_24", "open_interest_168"}
    carried = [index for index, name in enumerate(names) if name not in missing]
    full, _ = play(BarsData(dataname=frame), MarketState, names, modes, features="extended")
    assert np.isfinite(full).all()
    np.testing.assert_array_equal(found[:, carried], full[:, carried])


def stock_data(frame, **params):
    """Return Backtrader's own pandas feed, stamped at the close."""
    table = frame[["open", "high", "low", "close", "volume"]].set_axis(
        pd.to_datetime(frame["timestamp"] + HOUR, unit="ms"), axis=0
    )
    params = {"timeframe": bt.TimeFrame.Minutes, "compression": 60, **params}
    return bt.feeds.PandasData(dataname=table, name="BTC", **params)


@pytest.mark.parametrize("modes", MODES[::3], ids=str)
def test_a_stock_pandas_feed_serves_a_model_without_optional_columns(frame, tiny_model, modes):
    own, _ = play(BarsData(dataname=frame), MarketScore, Evaluation._fields, modes, model=tiny_model)
    stock, first = play(stock_data(frame), MarketScore, Evaluation._fields, modes, model=tiny_model)
    assert first == 21
    np.testing.assert_array_equal(stock, own)


def test_bars_of_another_size_are_refused_by_name(frame, tiny_model):
    daily = stock_data(frame, timeframe=bt.TimeFrame.Days, compression=1)
    with pytest.raises(FeatureMismatch, match=r"BTC says that its bars are of 1d, but they are 1h apart"):
        play(daily, MarketScore, ("signal",), {}, model=tiny_model)


def test_an_unknown_signal_is_refused(frame, tiny_model):
    with pytest.raises(ValueError, match="expected one of forward, state; found 'momentum'"):
        play(BarsData(dataname=frame), MarketScore, ("signal",), {}, model=tiny_model, signal="momentum")


def test_a_model_folder_is_read_once_until_it_changes(tiny_model, tmp_path):
    folder = tiny_model.save(tmp_path / "model")
    first = resolve_model(folder)
    assert resolve_model(str(folder)) is first
    assert first.fingerprint == tiny_model.fingerprint
    tiny_model.save(folder)
    assert resolve_model(folder) is not first


def test_something_that_is_no_model_is_refused_with_a_hint():
    with pytest.raises(
        TypeError, match=r"expected a model folder or a ScoreModel, found None; .*scorenet train"
    ):
        resolve_model(None)


def test_precomputed_outputs_are_those_that_a_run_finds(tiny_model, monkeypatch):
    frame = simulate("regimes", seed=8, bars=400)
    precompute(tiny_model, to_arrays(frame), "state")
    monkeypatch.setattr(type(tiny_model), "_evaluate", None)
    found, _ = play(BarsData(dataname=frame), MarketScore, ("signal",), {}, model=tiny_model, signal="state")
    assert len(found) == 380


def test_a_column_that_the_bars_lack_is_missing_and_not_zero() -> None:
    frame = simulate("regimes", seed=3, bars=1_200)
    without = frame.drop(columns=["funding_rate", "open_interest"])
    without.attrs = frame.attrs
    assert BarsData(dataname=without).absent == {"funding_rate", "open_interest"}
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(BarsData(dataname=without))
    cerebro.addstrategy(StateKeeper)
    state = cerebro.run()[0].state
    assert math.isnan(state.lines.funding_24[0])
    assert math.isnan(state.lines.open_interest_24[0])
    assert math.isfinite(state.lines.return_720[0])


class StateKeeper(bt.Strategy):
    def __init__(self) -> None:
        self.state = MarketState(self.data, features="extended")
