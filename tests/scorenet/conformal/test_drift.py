"""The alarm does not go off on the calibration distribution, and goes off after a change of distribution."""

import math

import numpy as np
import pytest
from scipy import stats

from scorenet.conformal.drift import DriftAlarm, RejectionAlarm, first_alarm, population_stability


def test_false_alarms_are_as_rare_as_promised():
    alarms = sum(
        first_alarm(np.random.default_rng(seed).uniform(size=1_000), false_alarm=0.1, every=1) is not None
        for seed in range(200)
    )
    assert alarms <= 0.1 * 200 + 2 * np.sqrt(200 * 0.1 * 0.9)


@pytest.mark.parametrize("shrink", [2.0, 0.4])
def test_it_goes_off_when_states_become_rarer_or_commoner(shrink):
    rng = np.random.default_rng(1)
    ranks = np.concatenate([rng.uniform(size=500), rng.uniform(size=1_500) ** shrink])
    at = first_alarm(ranks, every=1)
    assert at is not None
    assert 500 < at < 1_500


def test_it_listens_to_one_bar_in_so_many_and_not_to_gaps():
    sparse, dense = DriftAlarm(every=10), DriftAlarm(every=1)
    for rank in np.random.default_rng(2).uniform(size=50):
        dense.update(rank)
        for _ in range(9):
            sparse.update(0.0)
        sparse.update(rank)
    assert sparse.capital == dense.capital
    before = dense.capital
    assert not dense.update(float("nan"))
    assert dense.capital == before


def test_years_of_drift_do_not_overflow():
    alarm = DriftAlarm(every=1)
    for _ in range(5_000):
        alarm.update(0.0)
    assert np.isfinite(alarm.capital)
    assert alarm.update(0.5)


def test_population_stability_is_small_for_uniform_ranks_and_large_for_a_shifted_distribution():
    rng = np.random.default_rng(3)
    assert population_stability(rng.uniform(size=5_000)) < 0.01
    assert population_stability(rng.uniform(size=5_000) ** 3) > 0.25
    assert np.isfinite(population_stability(np.zeros(10)))


def test_impossible_settings_are_explained():
    with pytest.raises(ValueError, match="false_alarm"):
        DriftAlarm(false_alarm=1.0)
    with pytest.raises(ValueError, match="every"):
        DriftAlarm(every=0)


def test_the_limit_of_rejections_is_that_of_the_binomial_test():
    for level, window, chance in ((0.05, 720, 0.01), (0.05, 240, 0.01), (0.1, 480, 0.05)):
        independent = window // 24
        count = next(k for k in range(independent + 1) if stats.binom.sf(k - 1, independent, level) <= chance)
        assert RejectionAlarm(level, window, chance).limit == math.ceil(count * window / independent)


def test_rejections_sound_the_alarm_at_the_limit_and_it_ends_below_it():
    alarm = RejectionAlarm(0.05, 240, 0.01)
    said = [alarm.update(bar < alarm.limit) for bar in range(300)]
    first = said.index(True)
    assert first == alarm.limit - 1
    assert [bar for bar, on in enumerate(said) if on] == list(range(first, 240))


def test_at_the_calibrated_level_rejections_are_no_alarm():
    wrong = 0
    for seed in range(100):
        alarm = RejectionAlarm(0.05, 240, 0.01, every=1)
        rejected = np.random.default_rng(seed).uniform(size=240) < 0.05
        wrong += [alarm.update(bool(bar)) for bar in rejected][-1]
    assert wrong <= 4  # 1 of 100 is expected


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((0.0, 720, 0.01), "share of rejected bars between 0 and 1"),
        ((0.05, 720, 1.0), "probability of a false alarm"),
        ((0.05, 24, 0.01), "too short"),
        ((0.05, 0, 0.01), "too short"),
    ],
)
def test_a_test_of_rejections_that_cannot_be_made_is_refused(arguments, told):
    with pytest.raises(ValueError, match=told):
        RejectionAlarm(*arguments)
