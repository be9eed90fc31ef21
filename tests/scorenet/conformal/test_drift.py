"""The alarm does not go off on the calibration distribution, and goes off after a change of distribution."""

import numpy as np
import pytest

from scorenet.conformal.drift import DriftAlarm, first_alarm, population_stability


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
