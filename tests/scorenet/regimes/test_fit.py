"""The regimes of made-up states: known groups are found and named, one group is one regime, and files keep all."""

import json

import numpy as np
import pytest

from scorenet.config import RegimeConfig
from scorenet.errors import ConfigError, FeatureMismatch, TooFewBars
from scorenet.regimes.coordinates import coordinates
from scorenet.regimes.fit import fit_regimes
from scorenet.regimes.measure import mean_runs
from scorenet.regimes.names import regime_names
from scorenet.regimes.regime_map import RegimeMap

HOUR = 3_600_000
RUN = 200


def states(levels, seed=0, runs=30, noise=0.15):
    """Return raw states [T, 2] (volatility, return_20), their times and the true level number [T]."""
    generator = np.random.default_rng(seed)
    truth = np.concatenate([np.full(RUN, run % len(levels)) for run in range(runs)])
    log_volatility = np.array(levels)[truth] + noise * generator.standard_normal(len(truth))
    x = np.column_stack([np.exp(log_volatility), 0.01 * generator.standard_normal(len(truth))])
    return x, HOUR * np.arange(len(x), dtype=np.int64), truth


def fitted(x, time, **options):
    return fit_regimes(
        x, coordinates(("volatility", "return_20"), x, 20), time, HOUR, RegimeConfig(**options)
    )


@pytest.fixture(scope="module")
def three():
    x, time, truth = states([-6.0, -5.0, -4.0])
    return fitted(x, time), x, truth


def test_three_groups_are_found_and_named(three):
    found, x, truth = three
    assert found.names == ("calm market", "normal market", "turbulent market")
    assert found.stability > 0.9
    # The groups have equal shares, runs of 200 bars and the given volatilities.
    np.testing.assert_allclose(found.share, 1 / 3, atol=0.02)
    np.testing.assert_allclose(found.persistence, RUN, rtol=0.1)
    np.testing.assert_allclose(np.log(found.states[:, 0]), [-6, -5, -4], atol=0.1)
    # calm -> normal -> turbulent -> calm, once in 200 bars each.
    np.testing.assert_allclose(np.diag(found.transitions), 1 - 1 / RUN, atol=2e-3)
    assert found.transitions[0, 1] > 5 * found.transitions[0, 2]
    position = coordinates(("volatility", "return_20"), x, 20)
    assert (found.by_filter(position) == truth).mean() > 0.97
    assert (found.by_flow(position) == truth).mean() > 0.9


def test_one_group_is_one_regime():
    x, time, _ = states([-5.0])
    found = fitted(x, time)
    assert found.names == ("one regime",)
    assert set(found.by_filter(coordinates(("volatility", "return_20"), x, 20))) == {0}
    assert found.tried[-1]["regimes"] == 1


def test_a_level_that_is_given_is_used():
    x, time, _ = states([-6.0, -5.0, -4.0], runs=6)
    found = fitted(x, time, sigma=2.0)
    assert (found.sigma, found.names) == (2.0, ("one regime",))
    both = fitted(x, time, sigma=0.3, uses=("volatility", "trend"))
    assert both.uses == ("volatility", "trend")
    assert len(both) == 3


def test_labels_look_back_only_and_do_not_depend_on_other_rows(three):
    found, x, _ = three
    position = coordinates(("volatility", "return_20"), x, 20)[:900]
    whole = found.by_filter(position)
    np.testing.assert_array_equal(found.by_filter(position[:600]), whole[:600])
    np.testing.assert_array_equal(found.by_filter(position[-168:])[-1:], whole[-1:])
    order = np.random.default_rng(0).permutation(900)
    np.testing.assert_array_equal(found.by_flow(position[order]), found.by_flow(position)[order])


def test_a_row_that_is_not_finite_has_no_regime_and_changes_none(three):
    found, x, _ = three
    position = coordinates(("volatility", "return_20"), x, 20)[:300]
    clean = found.by_filter(position)
    position[150] = np.nan
    labels = found.by_filter(position)
    assert labels[150] == -1
    assert found.by_flow(position)[150] == -1
    np.testing.assert_array_equal(np.delete(labels, 150), np.delete(clean, 150))


def test_the_same_rows_and_seed_give_the_same_map(three):
    found, x, _ = three
    again = fitted(x, HOUR * np.arange(len(x), dtype=np.int64))
    assert json.dumps(again.to_dict()) == json.dumps(found.to_dict())


def test_json_keeps_the_map_and_damage_is_found(three):
    found, x, _ = three
    stored = json.loads(json.dumps(found.to_dict()))
    position = coordinates(("volatility", "return_20"), x, 20)[:500]
    np.testing.assert_array_equal(RegimeMap.from_dict(stored).by_filter(position), found.by_filter(position))
    for damage in (
        {"transitions": [[1.0, 1.0, 1.0]] * 3},
        {"std": [[0.0]] * 3},
        {"modes": [[1.0]]},
        {"uses": ["colour"]},
        {"rows": [[float("nan")]]},
        {"sigma": -1},
    ):
        with pytest.raises(ValueError, match="regimes: impossible"):
            RegimeMap.from_dict(stored | damage)


def test_regimes_are_given_by_name_or_number(three):
    found, _, _ = three
    assert found.numbers(["calm market", 2]) == {0, 2}
    with pytest.raises(ConfigError, match=r"no regime 'calm markt'.*did you mean 'calm market'"):
        found.numbers(["calm markt"])
    for wrong in (3, -1, True, 1.5):
        with pytest.raises(ConfigError, match="it has 0 \\(calm market\\)"):
            found.numbers([wrong])


def test_symbols_are_not_one_series():
    x, time, _ = states([-6.0, -5.0, -4.0], runs=15)
    found = fitted(np.concatenate([x, x]), np.concatenate([time, time]))
    # Each symbol's last run ends there: no run is longer than 200 bars, although both series begin alike.
    np.testing.assert_allclose(found.persistence, RUN, rtol=0.1)


def test_what_cannot_be_fitted_is_said():
    x, time, _ = states([-5.0], runs=1)
    with pytest.raises(TooFewBars, match="find regimes: need 256, have 200"):
        fitted(x, time)
    with pytest.raises(ConfigError, match="one or both of volatility and trend, found \\['colour'\\]"):
        RegimeConfig(uses=("colour",))
    with pytest.raises(ConfigError, match="0 or a positive level, found -1"):
        RegimeConfig(sigma=-1.0)
    with pytest.raises(FeatureMismatch, match="features called 'volatility' and 'return_N'"):
        coordinates(("volatility", "rsi"), x, 20)


def test_names_follow_volatility_and_trend_and_are_unique():
    generator = np.random.default_rng(0)
    training = generator.standard_normal((3_000, 2))
    # The mean level is 0: calm is below -0.35, turbulent above 0.35.
    modes = np.array([[-1.0, 0.5], [-0.4, 0.6], [0.3, -0.5], [1.1, 0.0]])
    assert regime_names(modes, training, trend=True) == (
        "calm uptrend 1",
        "calm uptrend 2",
        "normal downtrend",
        "turbulent market",
    )
    plain = ("calm market", "normal market", "turbulent market")
    assert regime_names(modes[[0, 2, 3]], training, trend=False) == plain
    assert regime_names(modes[:1], training, trend=True) == ("one regime",)
    # Regimes of the same volatility differ by their trend alone.
    same = np.array([[0.1, -1.0], [0.2, 1.0]])
    assert regime_names(same, training, trend=True) == ("normal downtrend", "normal uptrend")


def test_mean_runs_by_hand():
    labels = np.array([0, 0, 1, 1, 1, 0, 0, -1])
    starts = np.array([True, False, False, False, False, False, True, False])
    # Regime 0: 4 bars in the runs (0, 0), (0), (0) = 3 runs; regime 1: 3 bars in one run.
    np.testing.assert_allclose(mean_runs(labels, starts, 3), [4 / 3, 3, 0])
