"""The regime lines: the model's own labels, the same in once and next, and unchanged by later bars."""

from dataclasses import replace

import backtrader as bt
import numpy as np
import pytest

from feeds import BarsData
from runs.markets import as_market
from scorenet import ConfigError
from scorenet.regimes.filter import WINDOW
from strategies import MarketRegime
from tests.conftest import regime_market

BARS = 330


class _Record(bt.Strategy):
    params = (("model", None),)

    def __init__(self):
        self.regime = MarketRegime(self.data, model=self.p.model)
        self.rows = []

    def next(self):
        lines = self.regime.lines
        self.rows.append((lines.regime[0], lines.regime_age[0], lines.regime_changed[0]))


def recorded(frame, model, **modes):
    cerebro = bt.Cerebro(stdstats=False, **modes)
    cerebro.adddata(BarsData(dataname=frame))
    cerebro.addstrategy(_Record, model=model)
    return np.array(cerebro.run()[0].rows)


@pytest.fixture(scope="module")
def frame():
    return regime_market(bars=BARS, seed=3, stay=0.97)


@pytest.fixture(scope="module")
def vectorised(frame, regime_model):
    return recorded(frame, regime_model)


def test_the_lines_are_the_models_labels(frame, regime_model, vectorised):
    bars = as_market(frame).bars
    x, first = regime_model.features.compute(bars), regime_model.lookback + WINDOW - 1
    labels = regime_model.regimes(x[20:], frame["timestamp"].to_numpy()[20:])[first - 20 :]
    assert len(vectorised) == BARS - first
    np.testing.assert_array_equal(vectorised[:, 0], labels)
    changed = np.concatenate([[0], labels[1:] != labels[:-1]])
    np.testing.assert_array_equal(vectorised[:, 2], changed)
    age, ages = 0, []
    for at, label in enumerate(labels):
        age = age + 1 if at and label == labels[at - 1] else 1
        ages.append(age)
    np.testing.assert_array_equal(vectorised[:, 1], ages)
    assert changed.sum() >= 2


@pytest.mark.parametrize("modes", [{"runonce": False}, {"preload": False}, {"exactbars": 1}])
def test_every_mode_gives_the_same_lines(frame, regime_model, vectorised, modes):
    np.testing.assert_array_equal(recorded(frame, regime_model, **modes), vectorised)


def test_later_bars_change_nothing(frame, regime_model, vectorised):
    cut = recorded(frame.iloc[:270], regime_model)
    np.testing.assert_array_equal(cut, vectorised[: len(cut)])


def test_a_schedule_takes_the_newest_model_of_each_bar(frame, regime_model, vectorised):
    at = int(frame["timestamp"].iloc[250]) + 3_600_000
    one = replace(
        regime_model,
        regime_map=replace(
            regime_model.regime_map,
            share=np.array([1e-9, 1e-9, 1.0]),
            transitions=np.tile([0.0, 0.0, 1.0], (3, 1)),
        ),
    )
    both = recorded(frame, [(0, regime_model), (at, one)])
    before = 250 - (BARS - len(vectorised))
    np.testing.assert_array_equal(both[:before], vectorised[:before])
    np.testing.assert_array_equal(both[before:, 0], 2.0)
    stepped = recorded(frame, [(0, regime_model), (at, one)], runonce=False)
    np.testing.assert_array_equal(stepped, both)


def test_a_model_without_regimes_says_how_to_get_them(frame, regime_model):
    with pytest.raises(ConfigError, match=r"has no regimes.*train it again"):
        recorded(frame, replace(regime_model, regime_map=None))
