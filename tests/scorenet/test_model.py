"""ScoreModel: rows are independent, a tail gives the same values as the whole series, units are as documented."""

from dataclasses import replace

import numpy as np
import pytest

from feeds import simulate, to_arrays
from runs.markets import as_market
from scorenet import ConfigError, FeatureMismatch, ScoreModel, learn
from tests.conftest import TINY, regime_market


@pytest.fixture(scope="module")
def bars() -> dict[str, np.ndarray]:
    return to_arrays(simulate("regimes", seed=8, bars=600))


@pytest.fixture(scope="module")
def states(tiny_model, bars) -> np.ndarray:
    return tiny_model.features.compute(bars)[tiny_model.lookback :]


@pytest.mark.parametrize("signal", ["forward", "state"])
def test_every_tail_gives_the_value_of_the_whole_series(tiny_model, bars, signal):
    whole = tiny_model.evaluate(bars, signal, tails=True)
    need = tiny_model.lookback + 1
    for end in range(need, 600, 7):
        tail = {name: values[end - need : end] for name, values in bars.items()}
        for part, full in zip(tiny_model.evaluate(tail, signal, tails=True), whole, strict=True):
            assert part[-1] == full[end - 1]


def test_no_row_depends_on_its_batch(tiny_model, states):
    for method in (tiny_model.score, tiny_model.log_density, tiny_model.density_rank):
        batch = method(states[:40])
        single = np.concatenate([method(row[None]) for row in states[:40]])
        np.testing.assert_allclose(batch, single, rtol=0, atol=1e-12)


def test_evaluation_agrees_with_the_methods(tiny_model, bars, states):
    seen = tiny_model.evaluate(bars, "forward")
    start = tiny_model.lookback
    coming = tiny_model.forward(states)
    np.testing.assert_allclose(seen.score[start:], coming.score, atol=1e-9)
    np.testing.assert_allclose(seen.log_density[start:], tiny_model.log_density(states), atol=1e-9)
    assert np.array_equal(seen.density_rank[start:], tiny_model.density_rank(states))
    assert np.array_equal(seen.signal[start:], np.sign(seen.score[start:]) * seen.confidence[start:])
    assert np.isnan(seen.score[:start]).all()
    state = tiny_model.evaluate(bars, "state")
    column = tiny_model.features.names.index("return_1")
    np.testing.assert_allclose(state.score[start:], tiny_model.score(states)[:, column], atol=1e-9)


def test_the_score_follows_the_slope_of_the_reference_density(tiny_model, states):
    # The heat route at the signal's sigma, differentiated numerically along scaled coordinates.
    z = tiny_model.scaler.transform(states[:5])
    sigma, step, config = 1.0, 1e-3, tiny_model.config
    ahead, behind = z.copy(), z.copy()
    ahead[:, 0] += step
    behind[:, 0] -= step
    inverse = tiny_model.scaler.inverse
    slope = (
        tiny_model.reference_log_density(inverse(ahead), sigma)
        - tiny_model.reference_log_density(inverse(behind), sigma)
    ) / (2 * step)
    score = tiny_model.score(states[:5], sigma)[:, 0]
    assert config.noise.sigma_max > 10
    np.testing.assert_allclose(slope, score, atol=0.25)


def test_in_distribution_is_the_rank_at_a_threshold(tiny_model, states):
    rank = tiny_model.density_rank(states)
    assert np.array_equal(tiny_model.in_distribution(states, 0.2), rank >= 0.2)
    assert ((rank > 0) & (rank <= 1)).all()
    far = states[:1].copy()
    far[:, 0] = 0.9
    far[:, 3] = -0.9
    assert tiny_model.density_rank(far)[0] < 0.02


def test_denoising_returns_raw_features_and_shrinks_to_the_data(tiny_model, states):
    scaled = tiny_model.scaler.transform
    near = tiny_model.denoise(states[:50], 0.05)
    np.testing.assert_allclose(scaled(near), scaled(states[:50]), atol=0.35)
    centre = scaled(tiny_model.denoise(states[:50], 15.0))
    assert np.abs(centre).mean() < 0.2 * np.abs(scaled(states[:50])).mean()


def test_samples_are_valid_raw_features(tiny_model):
    x = tiny_model.sample(200, seed=3)
    names = tiny_model.features.names
    assert x.shape == (200, 10)
    assert np.isfinite(x).all()
    for name in ("price_position", "rsi"):
        assert ((x[:, names.index(name)] >= 0) & (x[:, names.index(name)] <= 1)).all()
    assert (x[:, names.index("volatility")] > 0).all()
    assert np.array_equal(x, tiny_model.sample(200, seed=3))
    assert not np.array_equal(x, tiny_model.sample(200, seed=4))


def test_repeated_evaluation_is_answered_from_memory(tiny_model, bars, monkeypatch):
    first = tiny_model.evaluate(bars, "forward")
    monkeypatch.setattr(type(tiny_model), "_evaluate", lambda *args: pytest.fail("evaluated again"))
    assert tiny_model.evaluate({name: values.copy() for name, values in bars.items()}, "forward") is first


def test_memory_is_not_fooled_by_other_bars(tiny_model, bars):
    changed = {name: values.copy() for name, values in bars.items()}
    changed["close"][300] *= 1.0001
    assert (
        tiny_model.evaluate(changed, "forward").score[300] != tiny_model.evaluate(bars, "forward").score[300]
    )


def test_empty_input_has_the_right_shape(tiny_model):
    assert tiny_model.score(np.empty((0, 10))).shape == (0, 10)
    assert tiny_model.log_density(np.empty((0, 10))).shape == (0,)


def test_mistakes_are_named(tiny_model, bars):
    with pytest.raises(ValueError, match="expected one of forward, state; found 'backward'"):
        tiny_model.evaluate(bars, "backward")
    with pytest.raises(FeatureMismatch, match=r"column\(s\) volume"):
        tiny_model.evaluate({name: v for name, v in bars.items() if name != "volume"})
    with pytest.raises(FeatureMismatch, match=r"shape \[N, 10\]"):
        tiny_model.score(np.zeros((3, 4)))


def test_a_model_of_several_horizons_has_a_density_for_each_and_survives_its_folder(tmp_path, states):
    config = TINY.with_values(**{"forward.horizons": [1, 12], "density.steps": 5, "state.steps": 5})
    model = learn([as_market(simulate("planted", seed=5, bars=1_500))], config, progress=False)
    again = ScoreModel.load(model.save(tmp_path / "several"))
    means = {horizon: again.forward(states, horizon).mean for horizon in (4, 1, 12)}
    np.testing.assert_array_equal(means[4], again.forward(states).mean)
    np.testing.assert_array_equal(means[12], model.forward(states, 12).mean)
    assert not np.array_equal(means[1], means[12])
    with pytest.raises(ConfigError, match="this model has horizons of 4, 1, 12 bars, found 24"):
        model.forward(states, 24)


@pytest.fixture(scope="module")
def in_regimes(regime_model):
    """States [N, F] and times [N] of a market with three levels of volatility."""
    frame, back = regime_market(bars=1_500, seed=2), regime_model.lookback
    return regime_model.features.compute(as_market(frame).bars)[back:], frame["timestamp"].to_numpy()[back:]


def test_the_regimes_of_a_model_survive_its_folder_and_old_folders_load(regime_model, in_regimes, tmp_path):
    x, time = in_regimes
    assert regime_model.regime_map.names == ("calm market", "normal market", "turbulent market")
    again = ScoreModel.load(regime_model.save(tmp_path / "model"))
    assert set(again.regimes(x, time)) == {0, 1, 2}
    np.testing.assert_array_equal(again.regimes(x, time), regime_model.regimes(x, time))
    np.testing.assert_array_equal(again.regimes(x), regime_model.regimes(x))

    old = replace(regime_model, regime_map=None)
    loaded = ScoreModel.load(old.save(tmp_path / "old"))
    with pytest.raises(ConfigError, match=r"has no regimes.*train it again, or use model.with_regimes"):
        loaded.regimes(x)
    assert len(loaded.with_regimes(x, time).regime_map) == 3


def test_training_fits_regimes(tiny_model):
    assert tiny_model.regime_map.names == ("one regime",)  # the returns of this market have one volatility


def test_regimes_in_time_need_one_symbol_in_order_and_count_missing_bars(regime_model, in_regimes):
    x, time = in_regimes
    for wrong in (time[::-1], time + np.arange(len(time)), time[:-1]):
        with pytest.raises(ConfigError, match=r"expected (the times of one symbol|a time for each)"):
            regime_model.regimes(x, wrong)
    # A bar that is missing is a bar without a state.
    whole = x.copy()
    whole[[200, 201]] = np.nan
    holes = np.delete(np.arange(len(x)), [200, 201])
    expected = np.delete(regime_model.regimes(whole, time), [200, 201])
    np.testing.assert_array_equal(regime_model.regimes(x[holes], time[holes]), expected)
