"""The adjusted Rand index against hand-computed and scikit-learn's values; agreement of halves."""

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score

from scorenet.regimes.stability import adjusted_rand, agreement


def test_adjusted_rand_by_hand():
    # Groups {0, 1}, {2, 3} against {0, 1, 2}, {3}: pairs together in both 1, in each 2 and 3, of 6.
    # Expected 2 * 3 / 6 = 1, most (2 + 3) / 2 = 2.5: (1 - 1) / (2.5 - 1) = 0.
    assert adjusted_rand(np.array([0, 0, 1, 1]), np.array([0, 0, 0, 1])) == pytest.approx(0.0)
    assert adjusted_rand(np.array([0, 0, 1, 1]), np.array([5, 5, 2, 2])) == 1.0


def test_adjusted_rand_is_that_of_scikit_learn():
    generator = np.random.default_rng(3)
    for _ in range(20):
        a, b = generator.integers(0, 4, size=(2, 50))
        assert adjusted_rand(a, b) == pytest.approx(adjusted_rand_score(a, b), abs=1e-12)


def test_halves_agree_on_separated_groups_and_one_group_confirms_nothing():
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(240, 1, generator=generator, dtype=torch.float64)
    groups = noise * 0.2 + torch.arange(240).remainder(2)[:, None] * 4
    assert agreement(groups, 0.5, least=0.05, splits=3, seed=0) == 1.0
    assert agreement(noise, 0.8, least=0.05, splits=3, seed=0) == 0.0
