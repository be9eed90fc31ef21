"""Dependent rows: blocks, not rows, count as independent observations."""

import numpy as np
import pytest

from scorenet.conformal.calibration import Calibration
from scorenet.conformal.dependence import block_error, blocked_rank, purged_ranks, rejected_share


def sticky(n: int, seed: int, hold: int = 50) -> np.ndarray:
    """Values that stay constant for `hold` rows: n rows, n / hold draws."""
    return np.repeat(np.random.default_rng(seed).standard_normal(n // hold), hold)


def test_blocked_ranks_are_more_careful_and_never_smaller():
    values = sticky(5_000, 0)
    table = Calibration.fit(values, {"forward": values, "state": values})
    probe = np.linspace(-5, 3, 60)
    careful = blocked_rank(table, probe, block=50)
    assert (careful >= table.density_rank(probe)).all()
    assert careful.min() == pytest.approx(1 / 101)
    np.testing.assert_allclose(blocked_rank(table, probe, block=1), table.density_rank(probe), atol=1e-12)


@pytest.mark.parametrize("level", [0.02, 0.06])
def test_on_dependent_data_only_blocked_ranks_reject_no_more_than_promised(level):
    rows, blocked = [], []
    for seed in range(300):
        values = sticky(1_000, seed)  # twenty draws
        table = Calibration.fit(values, {"forward": values, "state": values})
        fresh = np.random.default_rng(10_000 + seed).standard_normal(50)
        rows.append((table.density_rank(fresh) <= level).mean())
        blocked.append((blocked_rank(table, fresh, 50) <= level).mean())
    assert np.mean(rows) > level * 1.3
    assert np.mean(blocked) <= level * 1.1


def test_purged_ranks_judge_a_block_by_the_others():
    values = np.array([0.0, 0.1, 5.0, 5.1, 1.0, 1.1])
    ranks = purged_ranks(values, block=2)
    np.testing.assert_allclose(ranks, [1 / 5, 1 / 5, 1.0, 1.0, 3 / 5, 3 / 5])
    purged = purged_ranks(values, block=2, purge=1)
    assert purged[0] == pytest.approx(1 / 4)  # row 2 is purged next to rows 0 and 1
    with pytest.raises(ValueError, match="more than one block"):
        purged_ranks(values, block=6)


def test_the_error_bar_knows_of_the_overlap():
    errors = [block_error(sticky(5_000, seed), 50) for seed in range(40)]
    truth = np.std([sticky(5_000, seed).mean() for seed in range(400)])
    assert np.mean(errors) == pytest.approx(truth, rel=0.15)
    assert block_error(sticky(5_000, 0), 1) < 0.5 * truth
    assert np.isnan(block_error(np.zeros(10), 10))


def test_rejected_share_counts_ranks_below_the_level():
    found = rejected_share(np.array([0.01, 0.05, 0.5, 0.04]), 0.05, block=1)
    assert (found.share, found.nominal) == (0.5, 0.05)
    assert found.standard_error > 0
