"""Ranks, tables and distances of a few rows, calculated by hand."""

import numpy as np
import pytest

from scorenet.conformal import calibration
from scorenet.conformal.calibration import Calibration, coverage_error, ks_uniform


def test_confidence_is_the_share_of_rows_with_a_score_no_larger():
    table = Calibration.fit(np.zeros(4), {"forward": np.array([-1.0, 2.0, -3.0, 4.0])})
    found = table.confidence("forward", np.array([0.5, 1.0, -2.5, 3.0, -4.0, 9.0]))
    assert found.tolist() == [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]
    assert table.magnitude["forward"].tolist() == [1.0, 2.0, 3.0, 4.0]


def test_a_table_of_a_long_span_keeps_both_ends_and_counts_all_rows(monkeypatch):
    monkeypatch.setattr(calibration, "_TABLE", 5)
    table = Calibration.fit(np.arange(9.0)[::-1], {"state": np.arange(5.0), "forward": np.arange(-8.0, 1.0)})
    assert table.log_density.tolist() == [0.0, 2.0, 4.0, 6.0, 8.0]
    assert table.magnitude["state"].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert table.magnitude["forward"].tolist() == [0.0, 2.0, 4.0, 6.0, 8.0]
    assert table.rows == 9
    # Two of five order statistics stand for 3.6 of nine rows; the fresh row is the tenth.
    assert table.density_rank(np.array([3.0]))[0] == pytest.approx((2 / 5 * 9 + 1) / 10)


def test_kolmogorov_smirnov_by_hand():
    # The step function of 0.1, 0.5, 0.6, 0.9 is 1/4 off at most: 0.5 jumps from 0.25, and 0.9 from 0.75.
    assert ks_uniform(np.array([0.9, 0.1, 0.6, 0.5])) == pytest.approx(0.25)
    assert ks_uniform(np.array([0.2, 0.3])) == pytest.approx(0.7)  # above, at 0.3: 1 - 0.3
    assert ks_uniform(np.array([0.8, 0.9])) == pytest.approx(0.8)  # below, at 0.8: 0.8 - 0
    assert ks_uniform(np.array([0.5])) == pytest.approx(0.5)


def test_coverage_error_is_the_largest_gap_of_its_levels():
    rank = np.array([0.01, 0.05, 0.10, 0.25, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
    # Shares 0.1, 0.2, 0.3, 0.4, 0.5 against the levels: 0.2 is the largest gap, at 0.10; a rank at a level counts.
    assert coverage_error(rank) == pytest.approx(0.2)
    assert coverage_error(rank, (0.5,)) == pytest.approx(0.0)
    assert coverage_error(np.array([0.9, 1.0]), (0.5, 0.1)) == pytest.approx(0.5), (
        "too few count as much as too many"
    )


def test_the_typical_sizes_are_root_mean_squares():
    scores = {"state": np.array([3.0, -4.0]), "own": np.zeros(3)}
    table = Calibration.fit(np.zeros(2), scores, np.array([0.01, -0.07]))
    assert table.typical_magnitude("state") == pytest.approx(12.5**0.5)
    assert table.typical_magnitude("own") == 1.0, "scores that are all 0 have no size"
    assert table.typical_forecast == pytest.approx(0.05)
    assert Calibration.from_dict(table.to_dict()).typical_forecast == table.typical_forecast
    assert np.isnan(Calibration.from_dict(Calibration.fit(np.zeros(2), scores).to_dict()).typical_forecast)


@pytest.mark.parametrize("forecast", [0.0, 1e-14])
def test_forecasts_that_are_none_have_the_strength_zero(forecast):
    """A net that has learned nothing forecasts rounding errors; its model was written and could not be loaded."""
    table = Calibration.fit(np.zeros(3), {"state": np.ones(3)}, np.full(3, forecast))
    assert table.typical_forecast == 1.0
