"""The folds of a walk-forward: their dates, and that no part can know a bar of another."""

from itertools import pairwise

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feeds import simulate
from runs.walkforward import WalkRequest, fold_dates
from scorenet import ConfigError

HOUR, DAY = 3_600_000, 86_400_000


def request(**options):
    return WalkRequest(**{"bars": ("A",), "out": "out", "train": 20, "test": 10, **options})


@pytest.fixture(scope="module")
def frame():
    return simulate("planted", seed=1, bars=60 * 24)


def days(frame, span):
    return tuple((edge - int(frame["timestamp"].iloc[0])) / DAY for edge in span)


def test_rolling_folds_by_hand(frame):
    folds = fold_dates([frame], request(), lookback=20, horizon=4)
    # 60 days: 20 of training, a gap of one day (24 bars), test parts of 10 days from day 21 on, the last of 9.
    assert [days(frame, fold.train) for fold in folds] == [(0, 20), (10, 30), (20, 40), (30, 50)]
    assert [days(frame, fold.test) for fold in folds] == [(21, 31), (31, 41), (41, 51), (51, 60)]


def test_expanding_folds_with_validation_by_hand(frame):
    options = {"validation": 5, "grid": ("cooldown=0,6",), "expanding": True}
    folds = fold_dates([frame], request(**options), lookback=20, horizon=4)
    assert [days(frame, fold.train) for fold in folds] == [(0, 20), (0, 30), (0, 40), (0, 50)]
    assert [days(frame, fold.validation) for fold in folds] == [(21, 26), (31, 36), (41, 46), (51, 56)]
    assert [days(frame, fold.test) for fold in folds] == [(27, 37), (37, 47), (47, 57), (57, 60)]


@settings(max_examples=50, deadline=None)
@given(
    train=st.integers(1, 20),
    test=st.integers(1, 20),
    validation=st.integers(0, 5),
    lookback=st.integers(0, 40),
    horizon=st.integers(1, 40),
    expanding=st.booleans(),
)
def test_parts_are_apart_and_tests_follow_each_other(
    frame, train, test, validation, lookback, horizon, expanding
):
    options = {"grid": ("cooldown=0,6",)} if validation else {}
    asked = request(train=train, test=test, validation=validation, expanding=expanding, **options)
    gap = (lookback + horizon) * HOUR
    folds = fold_dates([frame], asked, lookback, horizon)
    for fold in folds:
        before = fold.validation or fold.train
        assert fold.test[0] - before[1] == gap
        assert fold.validation is None or fold.validation[0] - fold.train[1] == gap
    assert all(a.test[1] == b.test[0] for a, b in pairwise(folds))
    assert folds[-1].test[1] == int(frame["timestamp"].iloc[-1]) + HOUR


def test_dates_do_not_move_with_holes(frame):
    holes = frame.drop(index=range(300, 500)).reset_index(drop=True)
    holes.attrs = dict(frame.attrs)
    asked = request()
    assert fold_dates([holes], asked, 20, 4) == fold_dates([frame], asked, 20, 4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"purge": 3}, "--purge: expected at least 4 bars, the horizon of the model, found 3"),
        ({"embargo": 19}, "--embargo: expected at least 20 bars, the lookback of the model, found 19"),
        ({"train": 0.03}, "--train: expected days that are a whole number of bars, found 0.03"),
        ({"train": 80}, "a fold needs 1944 bars before its first test bar"),
    ],
)
def test_impossible_lengths_are_refused(frame, options, message):
    with pytest.raises(ConfigError, match=message):
        fold_dates([frame], request(**options), lookback=20, horizon=4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train": 0}, "--train: expected a positive number of days"),
        ({"test": -1}, "--test: expected a positive number of days"),
        ({"grid": ("cooldown=1,2",)}, "add --validation DAYS"),
        ({"validation": 5}, "add --grid key=v1,v2"),
        ({"validation": 5, "space": ("cooldown=1..5,int",)}, "--space needs --trials"),
        ({"validation": 5, "trials": 5, "sampler": "opttuna"}, "did you mean 'optuna'"),
        ({"validation": 5, "trials": 5, "objective": "sharp_ratio"}, "did you mean 'sharpe_ratio'"),
        ({"validation": 5, "trials": 0}, "--trials: expected at least 1, found 0"),
        ({"validation": 5, "trials": 5, "seed": -1}, "--seed: expected a number from 0 to"),
        ({"validation": 5, "trials": 5, "seed": 2**32}, "--seed: expected a number from 0 to"),
        ({"combinatorial": "6,0"}, "--combinatorial: test_groups: expected from 1 to groups"),
        ({"combinatorial": "900,450"}, "--combinatorial: 450 of 900 groups are"),
        ({"combinatorial": "²,²"}, "--combinatorial: expected GROUPS,TEST_GROUPS"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        request(**options)


def test_the_last_fold_ends_with_the_bars(frame):
    fold = fold_dates([frame], request(), 20, 4)[-1]
    assert pd.Timestamp(fold.test[1], unit="ms") == pd.Timestamp(
        int(frame["timestamp"].iloc[-1]) + HOUR, unit="ms"
    )
