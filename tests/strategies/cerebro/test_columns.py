"""A data with a missing column or the wrong bar size: the message has the line of code that mends it."""

import re
from dataclasses import replace

import backtrader as bt
import numpy as np
import pandas as pd
import pytest

from feeds import BarsData
from scorenet import FeatureMismatch, feature_set
from strategies import MarketScore, PerpetualBroker, ScoreStrategy
from tests.strategies.cerebro.own import HOUR, OPEN, market

MODES = [{}, {"preload": False}, {"exactbars": 1}]


@pytest.fixture(scope="module")
def funding_model(tiny_model):
    """A model that says that it reads the funding rate; its nets are never called."""
    features = feature_set("extended", ("funding_rate",))
    assert "funding_rate" in features.inputs
    return replace(tiny_model, features=features)


def stamped(bars=40, step=HOUR):
    """Return a user's frame: an index of bar closes, and Backtrader's columns."""
    frame = market(bars=bars)
    index = pd.to_datetime(frame["timestamp"].iloc[0] + step * (1 + np.arange(bars)), unit="ms")
    return frame[["open", "high", "low", "close", "volume"]].set_index(index)


def played(data, model, **modes):
    cerebro = bt.Cerebro(stdstats=False, **modes)
    cerebro.setbroker(PerpetualBroker())
    cerebro.adddata(data, name="BTC")
    cerebro.addstrategy(ScoreStrategy, model=model, **OPEN)
    return cerebro.run()[0]


def hourly(frame, kind=bt.feeds.PandasData, **more):
    return kind(dataname=frame, timeframe=bt.TimeFrame.Minutes, compression=60, **more)


def refusal(data, model, **modes):
    with pytest.raises(FeatureMismatch) as caught:
        played(data, model, **modes)
    return str(caught.value)


@pytest.mark.parametrize("modes", MODES)
def test_pandas_data_of_hourly_bars_decides_as_our_own_feed(tiny_model, modes):
    ours = BarsData(dataname=market(bars=40).drop(columns="funding_rate"))
    own, theirs = (
        played(data, tiny_model, **modes).decisions.columns() for data in (ours, hourly(stamped()))
    )
    for name in ("time", "score", "target", "position"):
        np.testing.assert_array_equal(own[name], theirs[name])


def test_a_bar_size_that_was_not_said_is_answered_with_the_line_that_says_it(tiny_model):
    said = refusal(bt.feeds.PandasData(dataname=stamped()), tiny_model)
    assert said.startswith("BTC says that its bars are of 1d, but they are 1h apart; say so: ")
    line = said.rsplit(": ", 1)[1]
    assert line == "bt.feeds.PandasData(dataname=..., timeframe=bt.TimeFrame.Minutes, compression=60)"
    mended = eval(line.replace("...", "frame", 1), {"bt": bt, "frame": stamped()})  # noqa: S307
    assert np.isfinite(played(mended, tiny_model).decisions.columns()["score"][20:]).all()


def test_before_the_bars_are_known_the_line_says_both_cases(tiny_model):
    said = refusal(bt.feeds.PandasData(dataname=stamped()), tiny_model, preload=False)
    assert "was trained on bars of 1h, BTC has bars of 1d; train a model on this bar size" in said
    assert said.endswith("bt.feeds.PandasData(dataname=..., timeframe=bt.TimeFrame.Minutes, compression=60)")


@pytest.mark.parametrize("modes", MODES)
def test_bars_of_another_size_than_the_data_says_are_refused_in_every_mode(tiny_model, modes):
    said = refusal(hourly(stamped(step=60_000)), tiny_model, **modes)
    assert said.startswith(
        "BTC says that its bars are of 1h, but they are 1m apart, and the model was trained on"
    )


def test_a_missing_funding_rate_of_a_frame_is_declared_by_the_line_that_is_given(tiny_model, funding_model):
    said = refusal(hourly(stamped()), funding_model)
    assert "reads the column funding_rate, which BTC lacks; declare it: " in said
    line = said.rsplit("declare it: ", 1)[1]
    names = {"bt": bt}
    exec(line, names)  # noqa: S102
    frame = stamped().assign(funding_rate=0.0001)
    data = hourly(frame, names["WithColumn"])
    played(data, tiny_model)
    assert data.lines.funding_rate.array[5] == 0.0001


def test_a_missing_funding_rate_of_a_csv_file(tiny_model, funding_model, tmp_path):
    path = tmp_path / "bars.csv"
    stamped().assign(oi=0.0, funding_rate=0.0002).to_csv(
        path, index_label="time", date_format="%Y-%m-%d %H:%M:%S"
    )
    said = refusal(hourly(str(path), bt.feeds.GenericCSVData), funding_model)
    assert (
        "give the number of its column in the file (here 7, from 0): class WithColumn(bt.feeds.GenericCSVData)"
        in said
    )
    names = {"bt": bt}
    exec(said.rsplit("from 0): ", 1)[1], names)  # noqa: S102
    data = hourly(str(path), names["WithColumn"])
    played(data, tiny_model)
    assert data.lines.funding_rate.array[5] == 0.0002


def test_a_feed_of_ours_without_the_column_is_answered_with_the_join(funding_model):
    frame = market(bars=40).drop(columns="funding_rate", errors="ignore")
    said = refusal(BarsData(dataname=frame), funding_model)
    assert said.endswith("add it to the bars: BarsData(dataname=join_funding(frame, funding))")


@pytest.mark.parametrize("modes", MODES)
def test_a_column_without_a_value_is_refused_in_every_mode(tiny_model, modes):
    empty = stamped().drop(columns="volume")
    said = refusal(hourly(empty), tiny_model, **modes)
    assert "reads the column volume, which has no value in the first 21 bars of BTC; declare it: " in said
    assert re.search(r"params = \(\('volume', 'volume'\),\)$", said)


@pytest.mark.parametrize("modes", MODES)
@pytest.mark.parametrize("row", [3, 30, 39])
@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("open", np.nan, "open nan, expected a price above 0; "),
        ("close", np.inf, "close inf, expected a price above 0; "),
        ("low", 0.0, "low 0, expected a price above 0; "),
        ("volume", np.nan, "volume nan, expected at least 0; "),
        ("volume", -1.0, "volume -1, expected at least 0; "),
    ],
)
def test_a_bar_without_a_price_is_refused_with_its_time(tiny_model, modes, row, column, value, expected):
    """Backtrader's account fills orders at NaN, and has no equity from then on."""
    frame = stamped()
    frame.loc[frame.index[row], column] = value
    with pytest.raises((FeatureMismatch, ValueError)) as caught:
        played(hourly(frame), tiny_model, **modes)
    said = str(caught.value)
    assert f"BTC: the bar that closes at {frame.index[row]:%Y-%m-%dT%H:%M:%SZ} " in said
    # Bar by bar, the account meets the price of a position before the strategy does.
    if isinstance(caught.value, FeatureMismatch) or not modes:
        assert f" has {expected}" in said
        assert "frame.dropna(subset=['open', 'high', 'low', 'close', 'volume'])" in said
    if np.isnan(value):
        left = frame.dropna(subset=["open", "high", "low", "close", "volume"])
        assert len(played(hourly(left), tiny_model, **modes).decisions) == 39


def test_the_empty_bars_that_cerebro_adds_for_a_look_ahead_are_no_bars(tiny_model):
    plain, ahead = (
        played(hourly(stamped()), tiny_model, **modes).decisions.columns() for modes in ({}, {"lookahead": 2})
    )
    for name in ("time", "score", "target", "position"):
        np.testing.assert_array_equal(plain[name], ahead[name])


def test_an_indicator_alone_gives_the_same_answers(funding_model):
    class Mine(bt.Strategy):
        def __init__(self):
            self.score = MarketScore(self.data, model=funding_model)

    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(hourly(stamped()), name="BTC")
    cerebro.addstrategy(Mine)
    with pytest.raises(FeatureMismatch, match="reads the column funding_rate, which BTC lacks"):
        cerebro.run()
