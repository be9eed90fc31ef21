"""Kernels: exact densities and scores of rows, from the mixture at width 1 to the rows themselves."""

import pytest
import torch

from scorenet.score.mixture import Mixture
from scorenet.table.kernels import Kernels


@pytest.fixture
def mixture():
    return Mixture.random(3, 2, seed=4)


def as_mixture(kernels):
    """The same density as a mixture with one Gaussian per row."""
    means, covariances = [], []
    for rows, axes, variances in zip(kernels.centres, kernels.axes, kernels.variances, strict=True):
        means.append(rows @ axes.T)
        covariances.append((axes * variances @ axes.T).expand(len(rows), -1, -1))
    count = len(kernels)
    return Mixture(torch.full((count,), 1.0 / count).double(), torch.cat(means), torch.cat(covariances))


@pytest.mark.parametrize("sigma", [0.05, 0.7])
def test_density_and_score_are_those_of_a_gaussian_a_row(mixture, sigma):
    rows, x = mixture.sample(60, seed=1), mixture.sample(40, seed=2)
    resolution = torch.tensor([0.0, 0.2, 0.0]).double()
    for kernels in (Kernels.shaped(mixture, rows, 0.4, resolution), Kernels.round(rows, 0.3, resolution)):
        truth = as_mixture(kernels)
        torch.testing.assert_close(kernels.log_density(x, sigma), truth.log_density(x, sigma))
        torch.testing.assert_close(kernels.score(x, sigma), truth.score(x, sigma))


def test_at_width_one_every_kernel_is_its_component(mixture):
    rows = mixture.sample(50, seed=1)
    kernels = Kernels.shaped(mixture, rows, 1.0, torch.zeros(3).double())
    share = torch.bincount(mixture.responsibilities(rows).argmax(1), minlength=2) / 50
    hard = Mixture(share.double(), mixture.means, mixture.covariances)
    x = mixture.sample(40, seed=2)
    torch.testing.assert_close(kernels.log_density(x, 0.1), hard.log_density(x, 0.1))


def test_kernels_of_any_width_keep_the_covariance():
    gaussian = Mixture.gaussian(Mixture.random(3, 1, seed=0).sample(500, seed=3))
    rows = gaussian.sample(20_000, seed=1)
    gaussian = Mixture.gaussian(rows)
    for width in (0.8, 0.2):
        target = as_mixture(Kernels.shaped(gaussian, rows[:4000], width, torch.zeros(3).double()))
        assert (target.covariance - gaussian.covariance).abs().max() < 0.1


def test_samples_follow_the_density(mixture):
    kernels = Kernels.shaped(mixture, mixture.sample(40, seed=1), 0.5, torch.zeros(3).double())
    target = as_mixture(kernels)
    drawn = kernels.sample(40_000, torch.Generator().manual_seed(0))
    torch.testing.assert_close(drawn.mean(0), target.mean, atol=0.05, rtol=0)
    torch.testing.assert_close(drawn.T.cov(), target.covariance, atol=0.15, rtol=0.05)
