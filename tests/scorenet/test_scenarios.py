"""Scenarios by feature name and paths of returns, on a random walk with a known distribution."""

import math

import numpy as np
import pytest

from feeds import simulate, to_arrays
from runs.markets import as_market
from scorenet import (
    ConfigError,
    FeatureMismatch,
    ScenarioPaths,
    ScoreModel,
    feature_set,
    learn,
    scenario_paths,
)
from scorenet.forward.distribution import ForwardReturn
from scorenet.scenarios import Past
from tests.conftest import TINY

VOLATILITY = 0.006  # per bar, of the simulated random walk


@pytest.fixture(scope="module")
def walk():
    """A model of a random walk, horizon 5: the returns of five bars and more are sums over steps of a path."""
    config = TINY.with_values(**{"forward.horizon": 5, "forward.scale_steps": 600, "density.steps": 5})
    return learn([as_market(simulate("random_walk", seed=5, bars=3_000))], config, progress=False)


@pytest.fixture(scope="module")
def state(walk):
    """A state whose volatility is about that of the random walk."""
    x = walk.features.compute(to_arrays(simulate("random_walk", seed=8, bars=400)))[walk.lookback :]
    own = x[:, walk.features.names.index("volatility")]
    return x[np.abs(own - VOLATILITY).argmin()]


@pytest.fixture(scope="module")
def paths(walk, state):
    return scenario_paths(walk, state, 3_000, 8, seed=1)


def test_known_features_keep_their_values_and_the_others_follow(walk):
    names = walk.features.names
    x = walk.scenarios(1_024, {"volatility": 1.2 * VOLATILITY, "return_5": 0.02}, seed=2)
    assert x.shape == (1_024, len(names))
    assert (x[:, names.index("volatility")] == 1.2 * VOLATILITY).all()
    assert (x[:, names.index("return_5")] == 0.02).all()
    drawn = walk.sample(25_000, seed=1)
    near = np.abs(np.log(drawn[:, names.index("volatility")] / (1.2 * VOLATILITY))) < 0.12
    near &= np.abs(drawn[:, names.index("return_5")] - 0.02) < 0.004
    assert near.sum() > 100
    for name in ("return_1", "return_10", "return_20", "rsi", "price_position"):
        column = names.index(name)
        spread = drawn[near, column].std()
        assert abs(x[:, column].mean() - drawn[near, column].mean()) < 0.25 * spread, name
        assert x[:, column].std() == pytest.approx(spread, rel=0.2), name


def test_scenarios_of_nothing_known_are_samples_and_a_seed_names_them(walk):
    assert np.array_equal(walk.scenarios(5, {}, seed=3), walk.sample(5, seed=3))
    known = {"rsi": 0.3}
    assert np.array_equal(walk.scenarios(5, known, seed=3), walk.scenarios(5, known, seed=3))
    assert not np.array_equal(walk.scenarios(5, known, seed=3), walk.scenarios(5, known, seed=4))


def test_what_is_no_feature_or_no_value_of_it_is_named(walk):
    with pytest.raises(FeatureMismatch, match="unknown feature 'volatilty'; did you mean 'volatility'"):
        walk.scenarios(5, {"volatilty": 0.01})
    with pytest.raises(FeatureMismatch, match="unknown feature 'xyz'; known features: return_1, "):
        walk.scenarios(5, {"xyz": 0.01})
    with pytest.raises(FeatureMismatch, match=r"volatility: expected a positive number .* found -1"):
        walk.scenarios(5, {"volatility": -1.0})
    with pytest.raises(FeatureMismatch, match=r"rsi: expected a number in \[0, 1\] .* found 1.5"):
        walk.scenarios(5, {"rsi": 1.5})
    with pytest.raises(FeatureMismatch, match=r"return_1: expected a number in reach .* found nan"):
        walk.scenarios(5, {"return_1": math.nan})


def test_the_first_step_is_the_forward_density(walk, state, paths):
    forecast = walk.forward(state[None])
    unit = state[walk.features.names.index("volatility")] * math.sqrt(5)
    first = paths.log_return[:, 1] / unit
    assert first.std() == pytest.approx(forecast.std[0], rel=0.05)
    assert first.mean() == pytest.approx(forecast.mean[0], abs=4 * forecast.std[0] / math.sqrt(3_000))
    for q in (0.05, 0.5, 0.95):
        assert np.mean(first <= forecast.quantile(q)[0]) == pytest.approx(q, abs=0.02)


@pytest.mark.parametrize("horizon", [5, 10])
def test_a_step_moves_by_the_volatility_of_a_bar_and_the_root_of_the_horizon(
    walk, state, monkeypatch, horizon
):
    def certain(model, x, length):
        one = np.ones((len(x), 1))
        return ForwardReturn(one, 2.0 * one, 1e-9 * one, 4.0, np.zeros((1, len(x))))

    monkeypatch.setattr(ScoreModel, "forward", certain)  # y is 2, without a doubt
    found = scenario_paths(walk, state, 3, 1, horizon=horizon)
    volatility = state[walk.features.names.index("volatility")]
    np.testing.assert_allclose(found.log_return[:, 1], 2 * volatility * math.sqrt(horizon), rtol=1e-6)
    # A move that was certain adds nothing to the squares of a window of twenty bars.
    np.testing.assert_allclose(found.volatility[:, 1], volatility * math.sqrt((20 - horizon) / 20), rtol=1e-6)
    assert found.bars.tolist() == [0, horizon]


@pytest.mark.parametrize("name", ["chapter", "extended"])
def test_before_the_first_step_the_windows_say_what_the_state_says(name):
    features = feature_set(name, ())
    x = features.compute(to_arrays(simulate("regimes", seed=4, bars=1_000)))[-3:]
    for horizon in (1, 24):
        known = Past(features, x, horizon).known()
        assert "volatility" in known
        for feature, values in known.items():
            np.testing.assert_allclose(
                values, x[:, features.names.index(feature)], rtol=1e-9, err_msg=feature
            )


def test_a_random_walk_stays_one(paths):
    assert paths.bars.tolist() == list(range(0, 45, 5))
    assert (paths.log_return[:, 0] == 0).all()
    spread = paths.log_return[:, 1:].std(axis=0) / np.sqrt(paths.bars[1:])
    np.testing.assert_allclose(spread, VOLATILITY, rtol=0.1)
    np.testing.assert_allclose(paths.volatility[:, 1:].mean(axis=0), VOLATILITY, rtol=0.1)
    moves = np.diff(paths.log_return, axis=1)
    assert abs(np.corrcoef(moves[:, 0], moves[:, 1])[0, 1]) < 0.08


def test_a_seed_names_the_paths(walk, state):
    first, again, other = (scenario_paths(walk, state, 50, 3, seed=s).log_return for s in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_stressed_start_has_wider_paths_that_calm_down(walk, state, paths):
    starts = walk.scenarios(1_500, {"volatility": 2 * VOLATILITY}, seed=1)
    stressed = scenario_paths(walk, starts, 1_500, 8, seed=1)
    np.testing.assert_allclose(stressed.volatility[:, 0], 2 * VOLATILITY)
    assert (stressed.log_return[:, 1:].std(axis=0) > 1.04 * paths.log_return[:, 1:].std(axis=0)).all()
    assert stressed.value_at_risk()[1] > 1.1 * paths.value_at_risk()[1]
    calm = stressed.volatility.mean(axis=0)
    assert calm[0] > calm[2] > calm[-1]
    assert calm[-1] == pytest.approx(VOLATILITY, rel=0.15)


def test_windows_hold_the_steps_and_before_them_their_mean(walk, state):
    names = walk.features.names
    past = Past(walk.features, state[None], 5)
    square = state[names.index("volatility")] ** 2
    past.add(np.array([0.01]), np.array([4e-5]))
    past.add(np.array([-0.02]), np.array([9e-5]))
    known = past.known()
    assert set(known) == {"volatility", "return_5", "return_10", "return_20"}
    volatility = math.sqrt((5 * 4e-5 + 5 * 9e-5 + 10 * square) / 20)
    assert known["volatility"][0] == pytest.approx(volatility)
    # The chapter's returns are sums of simple ones: half the variance above those of the logarithm.
    assert known["return_5"][0] == pytest.approx(-0.02 + 2.5 * volatility**2)
    assert known["return_10"][0] == pytest.approx(-0.01 + 5 * volatility**2)
    before = (state[names.index("return_20")] - 10 * square) / 2
    assert known["return_20"][0] == pytest.approx(before - 0.01 + 10 * volatility**2)


def test_extended_windows_are_in_units_of_their_volatility():
    features = feature_set("extended", ())
    bars = to_arrays(simulate("regimes", seed=4, bars=1_600))
    x = features.compute(bars)
    log_return = np.diff(np.log(bars["close"]), prepend=np.log(bars["close"][0]))
    now, horizon = 1_500, 24
    past = Past(features, x[now - 8 * horizon][None], horizon)
    for step in range(8):
        begin = now - (8 - step) * horizon + 1
        block = log_return[begin : begin + horizon]
        past.add(np.array([block.sum()]), np.array([(block**2).mean()]))
    known, truth = past.known(), dict(zip(features.names, x[now], strict=True))
    # Windows that lie inside the path's 192 bars are exact; 720 bars reach back before it.
    for name in ("volatility", "volatility_ratio", "return_24", "return_72", "return_168"):
        assert known[name][0] == pytest.approx(truth[name], rel=1e-9), name
    assert set(known) == {"volatility", "volatility_ratio", "volatility_720"} | {
        f"return_{n}" for n in (24, 72, 168, 720)
    }
    assert known["volatility_720"][0] == pytest.approx(truth["volatility_720"], rel=0.25)


def test_risk_figures_by_hand():
    log_return = np.log(np.array([[1.0, 1.1, 0.88], [1.0, 0.9, 0.99], [1.0, 1.2, 1.2], [1.0, 0.8, 0.6]]))
    found = ScenarioPaths(np.array([0, 24, 48]), log_return, np.ones_like(log_return))
    np.testing.assert_allclose(found.max_drawdown(), [0.2, 0.1, 0.0, 0.4])
    assert found.drawdown_quantile(1.0) == pytest.approx(0.4)
    np.testing.assert_allclose(found.expected_shortfall(0.5), [0.0, 0.15, 0.26])
    np.testing.assert_allclose(found.value_at_risk(1 / 3), [0.0, 0.1, 0.12])
    np.testing.assert_allclose(np.exp(found.quantile(1 / 3)), [1.0, 0.9, 0.88])


def test_mistakes_are_named(walk, state):
    with pytest.raises(FeatureMismatch, match=r"shape \[10\] or \[3, 10\], found \[2, 10\]"):
        scenario_paths(walk, np.stack([state, state]), 3, 2)
    with pytest.raises(FeatureMismatch, match="finite state"):
        scenario_paths(walk, np.full(10, np.nan), 3, 2)
    with pytest.raises(ConfigError, match="horizons of 5 bars, found 24"):
        scenario_paths(walk, state, 3, 2, horizon=24)
