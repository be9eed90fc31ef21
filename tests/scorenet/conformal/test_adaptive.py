"""The adaptive threshold keeps its bound on any sequence, uses no later bars, and equals the fixed one without
drift.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorenet.conformal.adaptive import AdaptiveThreshold, RollingRank, adaptive_threshold
from scorenet.conformal.calibration import Calibration


def calibrated(n: int = 4_000, seed: int = 0) -> Calibration:
    values = np.random.default_rng(seed).standard_normal(n)
    return Calibration.fit(values, {"forward": values, "state": values})


@given(
    st.lists(st.floats(0.0, 1.0), min_size=1, max_size=400),
    st.sampled_from([0.01, 0.05, 0.3]),
    st.sampled_from([0.005, 0.05, 0.5]),
)
def test_the_rejected_share_keeps_its_bound_on_any_sequence(ranks, level, rate):
    adaptive = AdaptiveThreshold(level, rate)
    rejected = sum(adaptive.update(rank) < level for rank in ranks)
    bound = (max(level, 1 - level) + rate) / (rate * len(ranks))
    assert abs(rejected / len(ranks) - level) <= bound + 1e-9


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=200))
def test_the_adjusted_rank_and_the_threshold_decide_alike(ranks):
    adaptive = AdaptiveThreshold(0.05, 0.1)
    for rank in ranks:
        threshold = adaptive.threshold
        adjusted = adaptive.update(rank)
        assert (adjusted < 0.05) == (rank < threshold)
        assert 0.0 <= adjusted <= 1.0


@pytest.mark.parametrize("level", [0.01, 0.05, 0.10])
@pytest.mark.parametrize("window", [None, 2_000])
def test_on_exchangeable_bars_it_rejects_the_nominal_share(level, window):
    fresh = np.random.default_rng(7).standard_normal(20_000)
    adaptive = adaptive_threshold(fresh, calibrated(), level=level, window=window)
    assert abs(1 - adaptive.in_distribution.mean() - level) < 0.01


def test_after_a_shift_the_fixed_threshold_rejects_a_third_and_the_adaptive_one_the_nominal_share():
    shifted = np.random.default_rng(8).standard_normal(8_760) - 1.2
    plain = (calibrated().density_rank(shifted) < 0.05).mean()
    adaptive = adaptive_threshold(shifted, calibrated(), level=0.05)
    assert plain > 0.3
    assert abs(1 - adaptive.in_distribution.mean() - 0.05) < 0.03


@pytest.mark.parametrize("window", [None, 50])
def test_the_history_up_to_a_bar_does_not_know_what_follows(window):
    values = np.random.default_rng(9).standard_normal(500)
    values[100:130] = np.nan
    whole = adaptive_threshold(values, calibrated(), window=window)
    for cut in (1, 99, 115, 300, 499):
        part = adaptive_threshold(values[:cut], calibrated(), window=window)
        np.testing.assert_array_equal(part.rank, whole.rank[:cut])
        np.testing.assert_array_equal(part.in_distribution, whole.in_distribution[:cut])


def test_bars_without_a_state_are_unfamiliar_and_teach_nothing():
    values = np.random.default_rng(9).standard_normal(300)
    gapped = np.insert(values, 150, [np.nan] * 20)
    with_gap, without = adaptive_threshold(gapped, calibrated()), adaptive_threshold(values, calibrated())
    assert not with_gap.in_distribution[150:170].any()
    np.testing.assert_array_equal(np.delete(with_gap.rank, slice(150, 170)), without.rank)


def test_a_rolling_rank_counts_the_window_before_the_bar():
    rank = RollingRank(calibrated(), window=3)
    for value in (1.0, 2.0, 3.0):
        rank.update(value)
    assert rank.update(2.5) == pytest.approx(3 / 4)  # two of three are no larger
    assert rank.update(0.0) == pytest.approx(1 / 4)
    assert rank.update(9.0) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: AdaptiveThreshold(level=0.0), "level: expected a share"),
        (lambda: AdaptiveThreshold(rate=0.0), "rate: expected a number"),
        (lambda: RollingRank(calibrated(), 1), "window: expected at least 2 bars"),
    ],
)
def test_impossible_settings_are_explained(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()
