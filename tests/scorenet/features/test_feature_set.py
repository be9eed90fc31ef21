"""The market state: the same bits for every reader, no later bars, finite on every valid bar."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feeds import simulate, to_arrays
from scorenet import ConfigError, FeatureMismatch, feature_set
from scorenet.features import INPUTS, OPTIONAL_INPUTS

SETS = ("chapter", "extended")
HOUR = 3_600_000


@pytest.fixture(scope="module")
def bars() -> dict[str, np.ndarray]:
    return to_arrays(simulate("regimes", seed=3, bars=6_000))


def cut(bars: dict[str, np.ndarray], begin: int, end: int) -> dict[str, np.ndarray]:
    return {name: values[begin:end] for name, values in bars.items()}


@pytest.mark.parametrize("name", SETS)
def test_a_tail_and_the_whole_series_give_the_same_bits(name, bars):
    features = feature_set(name)
    whole = features.compute(bars)
    for end in (features.lookback + 1, 2_000, 4_095 + features.lookback, 4_097 + features.lookback, 6_000):
        tail = features.compute(cut(bars, end - features.lookback - 1, end))
        assert np.array_equal(tail[-1], whole[end - 1])


@pytest.mark.parametrize("name", SETS)
def test_later_bars_do_not_change_a_row(name, bars):
    features, at = feature_set(name), 3_000
    changed = {column: values.copy() for column, values in bars.items()}
    for column in INPUTS + OPTIONAL_INPUTS:
        changed[column][at + 1 :] *= 7.0
    assert np.array_equal(
        features.compute(changed)[: at + 1], features.compute(bars)[: at + 1], equal_nan=True
    )


@pytest.mark.parametrize("name", SETS)
def test_bars_before_the_lookback_do_not_change_a_row(name, bars):
    features, at = feature_set(name), 3_000
    changed = {column: values.copy() for column, values in bars.items()}
    for column in INPUTS + OPTIONAL_INPUTS:
        changed[column][: at - features.lookback] *= 7.0
    assert np.array_equal(features.compute(changed)[at], features.compute(bars)[at])


@pytest.mark.parametrize("name", SETS)
def test_inputs_are_not_mutated_and_the_warm_up_is_nan(name, bars):
    features = feature_set(name)
    before = {column: values.copy() for column, values in bars.items()}
    out = features.compute(bars)
    assert all(np.array_equal(bars[column], before[column]) for column in bars)
    assert np.isnan(out[: features.lookback]).all()
    assert np.isfinite(out[features.lookback :]).all()
    assert out.shape == (6_000, len(features.names))


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("factor", [2.0**-20, 2.0**20])
def test_the_unit_of_price_and_volume_does_not_matter(name, factor, bars):
    features = feature_set(name)
    scaled = {
        column: values * factor
        if column in ("open", "high", "low", "close", "volume", "open_interest")
        else values
        for column, values in bars.items()
    }
    np.testing.assert_allclose(
        features.compute(scaled)[features.lookback :],
        features.compute(bars)[features.lookback :],
        rtol=1e-9,
        atol=1e-9,
    )


moves = st.lists(st.sampled_from([0.0, 0.0, 1e-9, -1e-9, 0.01, -0.3, 0.5, 3.0]), min_size=60, max_size=60)


@settings(max_examples=40, deadline=None)
@given(moves, st.sampled_from([1e-9, 1.0, 1e9]), st.sampled_from([0.0, 1e-12, 5.0, 1e15]), st.booleans())
def test_every_valid_bar_has_finite_features(steps, price, volume, one_trade):
    close = np.tile(price * np.cumprod(1 + np.array(steps).clip(-0.5, 3.0) / 10), 15)
    open_ = np.concatenate(([close[0]], close[:-1]))
    traded = np.full(len(close), volume)
    if one_trade:
        traded[::7] = 1.0
    bars = {
        "open": open_,
        "close": close,
        "high": np.maximum(open_, close),
        "low": np.minimum(open_, close),
        "volume": traded,
        "funding_rate": np.zeros(len(close)),
        "open_interest": np.where(np.arange(len(close)) % 2, volume, 0.0),
    }
    for name in SETS:
        features = feature_set(name)
        assert np.isfinite(features.compute(bars)[features.lookback :]).all()
        assert np.isfinite(features.volatility(bars)[features.lookback :]).all()


def test_the_chapter_features_are_the_chapters_formulas():
    rng = np.random.default_rng(1)
    close = 100 * np.cumprod(1 + 0.01 * rng.standard_normal(40))
    high, low, volume = close * 1.01, close * 0.98, rng.uniform(1, 2, 40)
    bars = {"open": close, "high": high, "low": low, "close": close, "volume": volume}
    features = feature_set("chapter", ())
    row = dict(zip(features.names, features.compute(bars)[-1], strict=True))
    r = close[1:] / close[:-1] - 1
    gains, losses = r[-14:].clip(min=0).mean(), (-r[-14:]).clip(min=0).mean()
    expected = {
        "return_1": r[-1],
        "return_5": r[-5:].sum(),
        "return_10": r[-10:].sum(),
        "return_20": r[-20:].sum(),
        "volatility": r[-20:].std(ddof=1),
        "volatility_ratio": r[-5:].std(ddof=1) / r[-20:].std(ddof=1) + 1e-3,
        "momentum": close[-1] / close[-20] - 1,
        "volume_ratio": volume[-1] / volume[-20:].mean() + 1e-3,
        "price_position": (close[-1] - low[-20:].min()) / (high[-20:].max() - low[-20:].min()),
        "rsi": gains / (gains + losses),
    }
    assert list(row) == list(expected)
    for name, value in expected.items():
        assert row[name] == pytest.approx(value, rel=1e-12), name


def test_season_is_the_volatility_of_the_coming_day_in_each_of_the_last_four_weeks():
    rng = np.random.default_rng(2)
    close = 100 * np.exp(np.cumsum(0.01 * rng.standard_normal(721)))
    bars = dict.fromkeys(("open", "high", "low", "close"), close) | {"volume": np.ones(721)}
    features = feature_set("extended", ())
    row = dict(zip(features.names, features.compute(bars)[-1], strict=True))
    r = np.diff(np.log(close))  # r[-1] is the return of the last bar
    same_days = np.concatenate([r[-168 * week : len(r) - 168 * week + 24] for week in (1, 2, 3, 4)])
    assert len(same_days) == 96
    expected = np.sqrt((same_days**2).mean() / (r[-672:] ** 2).mean())
    assert row["season_24"] == pytest.approx(expected, rel=1e-12)
    assert row["volatility_6"] == pytest.approx(
        np.sqrt((r[-6:] ** 2).mean() / (r[-168:] ** 2).mean()), rel=1e-12
    )


def test_degenerate_windows_have_stated_values():
    flat = {name: np.full(30, 10.0) for name in ("open", "high", "low", "close")} | {"volume": np.zeros(30)}
    features = feature_set("chapter", ())
    row = dict(zip(features.names, features.compute(flat)[-1], strict=True))
    assert (row["rsi"], row["price_position"]) == (0.5, 0.5)
    assert row["volatility_ratio"] == row["volume_ratio"] == 1.001
    assert row["return_20"] == row["momentum"] == 0.0


def test_rows_across_a_gap_are_nan_until_it_has_left_the_window(bars):
    features, hole = feature_set("chapter"), 1_000
    kept = np.arange(6_000) != hole
    gapped = {name: values[kept] for name, values in bars.items()}
    out = features.compute(gapped, HOUR)
    bad = np.flatnonzero(np.isnan(out).any(axis=1))
    assert bad.tolist() == [*range(features.lookback), *range(hole, hole + features.lookback)]
    tail = features.compute(cut(gapped, hole + 5 - features.lookback - 1, hole + 5), HOUR)
    assert np.isnan(tail[-1]).all()


def test_features_degrade_by_name():
    available = feature_set("extended", ("funding_rate",))
    assert "funding_24" in available.names
    assert "open_interest_24" not in available.names
    assert available.inputs == (*INPUTS, "funding_rate")
    assert len(available.kinds) == len(available.names)


def test_a_missing_column_is_named(bars):
    without = {name: values for name, values in bars.items() if name != "open_interest"}
    with pytest.raises(FeatureMismatch, match=r"needs the column\(s\) open_interest"):
        feature_set("extended").compute(without)


def test_a_misspelt_set_gets_a_hint():
    with pytest.raises(ConfigError, match="did you mean 'extended'"):
        feature_set("extendet")
