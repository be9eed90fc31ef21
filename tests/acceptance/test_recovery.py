"""Slow checks on simulated markets that chose no setting (about 40 minutes; `make acceptance`)."""

import numpy as np
import pytest

from benchmarks.recovery import FIRST_SEED, WALKS, hit_rates, planted, random_walk, together
from scorenet import ModelConfig

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(3_600)]

BARS = 50_000


def test_a_planted_edge_is_recovered() -> None:
    config = ModelConfig().with_values(**{"forward.horizon": 8})
    pairs = [planted(seed, BARS, config) for seed in range(FIRST_SEED, FIRST_SEED + 3)]
    assert np.median([mine / oracle for mine, oracle in pairs]) >= 0.60
    assert min(mine for mine, _ in pairs) > 0


def test_random_walks_yield_their_costs_and_nothing_else() -> None:
    distances = []
    for seed in range(FIRST_SEED, FIRST_SEED + WALKS):
        sharpe, costs, error = random_walk(seed, BARS, ModelConfig())
        distances.append((sharpe - costs) / error)
    # Of ten independent distances one beyond 2 is no surprise, one beyond 3.3 is (p = 0.01).
    assert abs(together(distances)) < 2
    assert max(map(abs, distances)) < 3.3


@pytest.mark.parametrize("phi", [0.2, -0.2])
def test_both_signs_of_autocorrelation_are_learned(phi: float) -> None:
    assert hit_rates(phi, FIRST_SEED, BARS // 2, ModelConfig())["forward"] >= 0.55
