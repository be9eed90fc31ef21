"""A schedule of models evaluates each bar by the newest model of its time, in all modes, and resets nothing."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from feeds import ReplayData, simulate
from runs.engine import Modes, run
from runs.settings import Account
from scorenet import Evaluation, FeatureMismatch, feature_set, register_feature_set
from scorenet.features.registry import FEATURE_SETS
from strategies import ScoreStrategy
from strategies.schedule import ModelSchedule
from tests.chapter_rules import CHAPTER
from tests.strategies.market import RecordedData, with_attrs

HOUR = 3_600_000
OPEN = {**CHAPTER, "confidence_threshold": 0.0, "rebalance_band": 0.1, "cooldown": 0, "forecast_window": 6}
OUTPUTS = ["score", "signal", "confidence", "log_density", "density_rank", "expected_return"]


@pytest.fixture(scope="module")
def second(tiny_model):
    """A model with a longer lookback that reads another column, with the nets of the first."""

    @register_feature_set("other", names=[f"x{i}" for i in range(10)], lookback=30, needs=["funding_rate"])
    def other(bars):
        move = np.diff(np.log(bars["close"]), axis=1)
        rate = bars["funding_rate"][:, -1:]
        x = np.concatenate([move[:, -9:] / move.std(axis=1, keepdims=True), rate], axis=1)
        return 0.5 + 0.4 * np.tanh(x)  # of any kind: positive and below 1

    yield replace(tiny_model, features=feature_set("other"))
    FEATURE_SETS.remove("other")


@pytest.fixture(scope="module")
def frame():
    whole = simulate("planted", seed=7, bars=130, symbol="A")
    return with_attrs(whole.drop(index=[40]).reset_index(drop=True), whole)


def close_of(frame, row):
    return int(frame["timestamp"].iloc[row]) + HOUR


def play(frame, model, modes=None, **params):
    return run([frame], Account(), ScoreStrategy, {**OPEN, **params, "model": model}, modes=modes)


@pytest.mark.parametrize(
    "modes",
    [
        Modes(),
        Modes(runonce=False, preload=False, exactbars=1),
        Modes(feed=ReplayData),
        Modes(feed=RecordedData),
    ],
    ids=["once", "next", "live", "recorded"],
)
def test_each_bar_has_the_outputs_of_its_own_model(frame, tiny_model, second, modes):
    begin, switch = close_of(frame, 35), close_of(frame, 80)
    found = play(frame, [(begin, tiny_model), (switch, second)], modes).decisions
    one, other = (play(frame, model).decisions for model in (tiny_model, second))
    rows = found.index
    parts = ((rows < 35, None), ((rows >= 35) & (rows < 80), one), (rows >= 80, other))
    for mine, expected in parts:
        if expected is None:
            assert (found["reason"][mine] == "warmup").all()
            assert found.loc[mine, "score"].isna().all()
        else:
            pd.testing.assert_frame_equal(
                found.loc[mine, OUTPUTS], expected.loc[mine, OUTPUTS], check_exact=True
            )
    assert not np.allclose(one["score"][80:], other["score"][80:])


def test_a_switch_between_equal_models_changes_nothing(frame, tiny_model):
    """Positions, windows and bands are carried over, wherever the switch is."""
    whole = play(frame, tiny_model, consistency_window=3, density_adaptation=0.02)
    for row in (10, 41, 42, 90):
        split = [(0, tiny_model), (close_of(frame, row), tiny_model)]
        found = play(frame, split, consistency_window=3, density_adaptation=0.02)
        for name in ("decisions", "orders", "equity"):
            pd.testing.assert_frame_equal(getattr(found, name), getattr(whole, name), check_exact=True)


def test_the_longest_lookback_and_the_newest_model_count(tiny_model, second):
    models = ModelSchedule([(0, tiny_model), (1, second)])
    assert (models.lookback, models.horizon) == (30, tiny_model.horizon)
    assert [models.number_at(close) for close in (-1, 0, 1, 2)] == [-1, 0, 1, 1]


def test_a_single_model_is_a_schedule_that_has_always_begun(tiny_model, tiny_model_dir):
    for source in (tiny_model, tiny_model_dir, str(tiny_model_dir), ModelSchedule(tiny_model)):
        models = ModelSchedule(source)
        assert (len(models.models), models.number_at(-(10**15))) == (1, 0)


def test_bars_before_every_model_have_no_outputs(frame, tiny_model):
    columns = {name: frame[name].to_numpy() for name in ("open", "high", "low", "close", "volume")}
    columns["timestamp"] = frame["timestamp"].to_numpy() + HOUR
    late = ModelSchedule([(close_of(frame, 129 - 1) + 1, tiny_model)])
    found = late.evaluate(lambda names: columns, "forward", HOUR, tails=False)
    assert isinstance(found, Evaluation)
    assert all(np.isnan(values).all() for values in found)


@pytest.mark.parametrize(
    ("source", "error", "told"),
    [
        ([], ValueError, "at least one pair"),
        ([(5, "m"), (5, "m")], ValueError, "each later than the one before"),
        (["models/one"], TypeError, r"pairs \(since in UTC ms, model\), found 'models/one'"),
        ([("2024-01-01", "m")], TypeError, "since in UTC ms"),
        (5, TypeError, "expected a model folder or a ScoreModel"),
    ],
)
def test_what_is_no_schedule_is_refused(tiny_model, source, error, told):
    if isinstance(source, list):
        source = [(pair[0], tiny_model) if isinstance(pair, tuple) else pair for pair in source]
    with pytest.raises(error, match=told):
        ModelSchedule(source)


@pytest.mark.parametrize("name", ["bar_ms", "horizon"])
def test_models_of_another_bar_size_or_horizon_are_refused(tiny_model, name):
    if name == "bar_ms":
        other = replace(tiny_model, info={**tiny_model.info, "bar_ms": 60_000})
    else:
        other = replace(tiny_model, config=tiny_model.config.with_values(**{"forward.horizon": 12}))
    with pytest.raises(FeatureMismatch, match=f"expected models of one {name}, found"):
        ModelSchedule([(0, tiny_model), (1, other)])
