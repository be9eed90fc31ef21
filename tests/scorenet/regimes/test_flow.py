"""The flow of a mixture with known modes ends in them, for each row alone and in any order."""

import numpy as np
import pytest
import torch

from scorenet.regimes.flow import SampleDenoiser, basins, climb, nearest
from scorenet.score.mixture import Mixture

SIGMA = 0.5


def three():
    means = torch.tensor([[-4.0, 0.0], [0.0, 3.0], [4.0, 0.0]], dtype=torch.float64)
    return Mixture(
        torch.tensor([0.3, 0.3, 0.4], dtype=torch.float64),
        means,
        0.25 * torch.eye(2, dtype=torch.float64).repeat(3, 1, 1),
    )


def test_the_flow_of_a_separated_mixture_ends_in_its_means():
    mixture = three()
    x = mixture.sample(400, seed=1)
    ends = climb(mixture.denoise, x, SIGMA)
    modes, labels = basins(ends, SIGMA)
    assert modes.shape == (3, 2)
    np.testing.assert_allclose(modes, mixture.means, atol=2e-2)
    # The components are 8 standard deviations apart: the nearest mean is the component that a row was drawn from.
    np.testing.assert_array_equal(labels, nearest(x, mixture.means))


def test_a_row_does_not_depend_on_the_others_or_on_their_order():
    mixture = three()
    x = mixture.sample(300, seed=2)
    shuffled = torch.randperm(300, generator=torch.Generator().manual_seed(0))
    ends = climb(mixture.denoise, x, SIGMA)
    modes, labels = basins(ends, SIGMA)
    again, others = basins(climb(mixture.denoise, x[shuffled], SIGMA), SIGMA)
    np.testing.assert_allclose(again, modes, atol=1e-9)
    np.testing.assert_array_equal(others, labels[shuffled])
    alone = climb(mixture.denoise, x[7:8], SIGMA)
    np.testing.assert_allclose(alone, ends[7:8], atol=1e-9)


def test_the_accelerated_flow_ends_where_the_plain_iteration_does():
    mixture = three()
    x = mixture.sample(200, seed=3)
    plain = x.clone()
    for _ in range(3_000):
        plain = mixture.denoise(plain, SIGMA)
    fast = climb(mixture.denoise, x, SIGMA)
    assert float((fast - plain).norm(dim=1).max()) < 0.1 * SIGMA


def test_a_coarse_level_has_one_mode():
    mixture = three()
    modes, labels = basins(climb(mixture.denoise, mixture.sample(100, seed=4), 6.0), 6.0)
    assert len(modes) == 1
    assert labels.unique().tolist() == [0]


def test_the_denoiser_of_a_sample_is_that_of_its_empirical_distribution():
    # By hand: rows 0 and 2, x = 0.5, sigma = 1. Weights exp(-0.125) and exp(-1.125): D = 2 e^-1 / (1 + e^-1).
    denoise = SampleDenoiser(torch.tensor([[0.0], [2.0]], dtype=torch.float64))
    found = float(denoise(torch.tensor([[0.5]], dtype=torch.float64), 1.0))
    assert found == pytest.approx(2 * np.exp(-1) / (1 + np.exp(-1)), rel=1e-12)


def test_a_mode_with_few_rows_belongs_to_its_neighbour():
    ends = torch.tensor([[0.0]] * 60 + [[3.0]] * 39 + [[9.0]], dtype=torch.float64)
    modes, labels = basins(ends, 1.0, least=0.05)
    assert modes.tolist() == [[0.0], [3.0]]
    assert labels.bincount().tolist() == [60, 40]


def test_a_chain_of_close_end_points_is_one_mode():
    ends = torch.linspace(0, 5, 40, dtype=torch.float64)[:, None]  # 0.13 apart
    order = torch.randperm(40, generator=torch.Generator().manual_seed(1))
    for rows in (ends, ends[order]):
        modes, labels = basins(rows, 0.5)
        assert len(modes) == 1
        assert labels.tolist() == [0] * 40
