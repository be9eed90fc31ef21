"""Conformal ranks and confidence have their definitions' values, one row at a time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorenet.conformal.calibration import Calibration, coverage_error, ks_uniform


def calibrated(n: int, seed: int = 0) -> Calibration:
    rng = np.random.default_rng(seed)
    return Calibration.fit(
        rng.standard_normal(n), {"forward": rng.standard_normal(n), "state": rng.standard_normal(n)}
    )


@pytest.mark.parametrize("level", [0.01, 0.05, 0.10])
def test_false_reject_rate_is_the_nominal_one(level):
    fresh = np.random.default_rng(99).standard_normal(200_000)
    rejected = [(calibrated(5_000, seed).density_rank(fresh) < level).mean() for seed in range(10)]
    assert abs(np.mean(rejected) - level) < 0.003


def test_rank_counts_the_rows_no_more_familiar():
    table = Calibration.fit(np.array([1.0, 2.0, 3.0, 4.0]), {"forward": np.ones(1), "state": np.ones(1)})
    np.testing.assert_allclose(table.density_rank(np.array([0.0, 1.0, 2.5, 9.0])), [0.2, 0.4, 0.6, 1.0])


def test_long_spans_are_compressed_without_moving_ranks():
    values = np.random.default_rng(1).standard_normal(300_000)
    table = Calibration.fit(values, {"forward": values, "state": values})
    assert len(table.log_density) == 4_001
    probe = np.linspace(-3, 3, 100)
    exact = np.searchsorted(np.sort(values), probe, side="right") / len(values)
    assert np.abs(table.density_rank(probe) - exact).max() < 5e-4


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=30))
def test_confidence_of_a_row_does_not_depend_on_the_others(scores):
    table = calibrated(500)
    batch = table.confidence("forward", np.array(scores))
    single = [table.confidence("forward", np.array([score]))[0] for score in scores]
    assert batch.tolist() == single
    assert ((batch >= 0) & (batch <= 1)).all()


def test_confidence_grows_with_the_size_of_the_score_not_its_sign():
    table = calibrated(500)
    assert table.confidence("state", np.array([-2.0]))[0] == table.confidence("state", np.array([2.0]))[0]
    assert (
        table.confidence("state", np.array([0.001]))[0]
        < 0.05
        < 0.9
        < table.confidence("state", np.array([2.5]))[0]
    )


def test_it_survives_json():
    table = calibrated(300)
    again = Calibration.from_dict(table.to_dict())
    probe = np.linspace(-3, 3, 50)
    assert np.array_equal(again.density_rank(probe), table.density_rank(probe))
    assert np.array_equal(again.confidence("state", probe), table.confidence("state", probe))


def test_coverage_error_and_ks_of_a_uniform_grid_are_small_and_of_a_constant_large():
    grid = (np.arange(1000) + 0.5) / 1000
    assert coverage_error(grid) < 1e-9
    assert ks_uniform(grid) < 0.002
    assert coverage_error(np.full(10, 0.001)) == pytest.approx(0.99)
    assert ks_uniform(np.full(10, 0.5)) == pytest.approx(0.5)
