"""Several horizons as one path: it passes through every forecast, and says nothing beyond the last."""

import numpy as np
import pytest

from scorenet.forward.horizons import expected_path


def test_the_path_passes_through_every_forecast():
    means = {4: np.array([0.5, -1.0]), 1: np.array([0.3, 0.0])}
    volatility = np.array([0.01, 0.02])
    path = expected_path(means, volatility, 6)
    # Bar 1: 0.3 x 0.01 x 1 = 0.003. Bar 4: 0.5 x 0.01 x 2 = 0.01. A third of the difference each bar between.
    np.testing.assert_allclose(path[0], [0.0, 0.003, 0.003 + 0.007 / 3, 0.003 + 0.014 / 3, 0.01, 0.01, 0.01])
    np.testing.assert_allclose(path[1], [0.0, 0.0, -0.04 / 3, -0.08 / 3, -0.04, -0.04, -0.04])


@pytest.mark.parametrize("bars", [1, 23, 24, 30])
def test_one_horizon_spreads_evenly(bars):
    path = expected_path({24: np.array([1.0])}, np.array([0.01]), bars)
    total = 0.01 * np.sqrt(24)
    np.testing.assert_allclose(path[0], [min(k / 24, 1.0) * total for k in range(bars + 1)])


def test_a_path_needs_a_horizon():
    with pytest.raises(ValueError, match="at least 1 bar"):
        expected_path({}, np.ones(1), 4)
    with pytest.raises(ValueError, match="at least 1 bar"):
        expected_path({0: np.ones(1), 4: np.ones(1)}, np.ones(1), 4)
