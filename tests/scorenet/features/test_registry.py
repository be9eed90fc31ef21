"""A user-defined feature set: windows in, rows out, and no access to other bars."""

import numpy as np
import pytest

from feeds import simulate, to_arrays
from scorenet import FeatureMismatch, feature_set, register_feature_set
from scorenet.features import FEATURE_SETS

NAMES = ("return_1", "place", "volume")


def compute(window):
    close = window["close"]
    place = (close[:, -1] - close.min(axis=1)) / (np.ptp(close, axis=1) + 1e-9)
    return np.stack([np.log(close[:, -1] / close[:, -2]), place, window["volume"].mean(axis=1)], axis=1)


@pytest.fixture
def own():
    names = set(FEATURE_SETS)
    register_feature_set("test_own", names=NAMES, kinds=("linear", "logit", "log"), lookback=12)(compute)
    yield feature_set("test_own")
    for name in set(FEATURE_SETS) - names:
        FEATURE_SETS.remove(name)


@pytest.fixture(scope="module")
def bars():
    return to_arrays(simulate("regimes", seed=3, bars=300))


def test_a_row_is_the_function_of_its_own_window(own, bars):
    whole = own.compute(bars)
    assert np.isnan(whole[:12]).all()
    for row in (12, 100, 299):
        window = {name: bars[name][row - 12 : row + 1][None] for name in ("close", "volume")}
        np.testing.assert_array_equal(whole[row], compute(window)[0])
        tail = {name: values[row - 12 : row + 1] for name, values in bars.items()}
        np.testing.assert_array_equal(own.compute(tail)[-1], whole[row])
    assert own.return_index == 0
    assert own.volatility_window == own.lookback == 12
    own.check_rows(bars)


def test_later_bars_change_nothing(own, bars):
    cut = {name: values[:150] for name, values in bars.items()}
    np.testing.assert_array_equal(own.compute(bars)[:150], own.compute(cut))


def test_a_value_that_is_not_finite_leaves_the_state_undefined(own, bars):
    @register_feature_set("test_holes", names=("a", "b"), lookback=1)
    def holes(window):
        close = window["close"]
        return np.stack([close[:, -1], np.where(close[:, -1] > close[:, -2], 1.0, np.inf)], axis=1)

    found = feature_set("test_holes").compute(bars)[1:]
    up = np.diff(bars["close"]) > 0
    assert (np.isnan(found).all(axis=1) == ~up).all()
    assert np.isfinite(found[up]).all()


def test_rows_that_look_at_one_another_are_refused(own, bars):
    @register_feature_set("test_batch", names=("a",), lookback=2)
    def batch(window):
        close = window["close"][:, -1:]
        return close - close.mean()

    with pytest.raises(FeatureMismatch, match=r"'a' of bar 2 depends on the rows computed with it"):
        feature_set("test_batch").check_rows(bars)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"names": ()}, "names of features"),
        ({"names": ("a", "a")}, "all different"),
        ({"kinds": ("square",)}, "1 kinds out of linear, log, logit"),
        ({"lookback": 0}, "volatility_window <= lookback"),
        ({"volatility_window": 9}, "volatility_window <= lookback"),
        ({"needs": ("mood",)}, "some of funding_rate, open_interest"),
        ({"name": "chapter"}, "taken"),
        ({"name": "my set"}, "expected a name"),
    ],
)
def test_a_description_that_does_not_fit_together_is_refused(own, changes, message):
    description = {"name": "test_bad", "names": ("a",), "lookback": 5, **changes}
    with pytest.raises(ValueError, match=message):
        register_feature_set(description.pop("name"), **description)(compute)
    assert "test_bad" not in FEATURE_SETS


def test_missing_columns_and_wrong_shapes_are_named(own, bars):
    @register_feature_set("test_funding", names=("a",), lookback=2, needs=("funding_rate",))
    def funding(window):
        return window["funding_rate"][:, -1]

    with pytest.raises(FeatureMismatch, match=r"'test_funding' needs the column\(s\) funding_rate"):
        feature_set("test_funding").compute({n: v for n, v in bars.items() if n != "funding_rate"})
    with pytest.raises(
        FeatureMismatch, match=r"expected an array \[298, 1\] from 298 windows, found \[298\]"
    ):
        feature_set("test_funding").compute({**bars, "funding_rate": bars["close"]})
