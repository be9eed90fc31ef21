"""The classifier distinguishes different samples, and only these."""

import numpy as np
import pytest

from scorenet.diagnostics.two_sample import two_sample_auc


def test_rows_of_one_distribution_cannot_be_told_apart_and_rows_of_two_can():
    rng = np.random.default_rng(0)
    same = two_sample_auc(rng.standard_normal((800, 3)), rng.standard_normal((900, 3)))
    assert abs(same.auc - 0.5) < 0.05
    other = rng.standard_normal((800, 3))
    other[:, 2] = 0.9 * other[:, 1] + np.sqrt(1 - 0.81) * other[:, 2]  # same margins, another copula
    assert two_sample_auc(rng.standard_normal((800, 3)), other).auc > 0.75


def test_near_copies_in_time_do_not_give_real_rows_away():
    rng = np.random.default_rng(1)
    sticky = np.repeat(rng.standard_normal((160, 2)), 5, axis=0) + 1e-3 * rng.standard_normal((800, 2))
    assert abs(two_sample_auc(sticky, rng.standard_normal((800, 2))).auc - 0.5) < 0.1


def test_too_few_rows_are_refused():
    with pytest.raises(ValueError, match="at least 10 rows of each kind, found 9"):
        two_sample_auc(np.zeros((9, 1)), np.zeros((50, 1)))
