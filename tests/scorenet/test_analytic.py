"""Closed forms: the oracle that everything else is held against must itself be right."""

import math

import torch

from scorenet.analytic import Mixture


def test_a_standard_normal_is_known_by_heart():
    normal = Mixture(torch.ones(1).double(), torch.zeros(1, 3).double(), torch.eye(3).double()[None])
    x = torch.tensor([[0.0, 0.0, 0.0], [1.0, -2.0, 0.5]], dtype=torch.float64)
    variance = 1 + 0.5**2
    expected = -0.5 * (x.square().sum(1) / variance + 3 * math.log(2 * math.pi * variance))
    torch.testing.assert_close(normal.log_density(x, 0.5), expected)
    torch.testing.assert_close(normal.score(x, 0.5), -x / variance)


def test_the_score_is_the_gradient_of_the_log_density():
    mixture = Mixture.random(4, 3, seed=1)
    x = mixture.sample(50, seed=2).requires_grad_()
    for sigma in (0.0, 0.3, 2.0):
        (slope,) = torch.autograd.grad(mixture.log_density(x, sigma).sum(), x)
        torch.testing.assert_close(mixture.score(x.detach(), sigma), slope)


def test_a_one_dimensional_mixture_integrates_to_one():
    mixture = Mixture.random(1, 4, seed=3)
    grid = torch.linspace(-30, 30, 20_001, dtype=torch.float64)[:, None]
    assert torch.trapezoid(mixture.log_density(grid, 0.2).exp(), grid[:, 0]).item() - 1 < 1e-9


def test_samples_have_the_mixtures_moments():
    mixture = Mixture.random(3, 2, seed=4)
    x = mixture.sample(200_000, seed=5)
    mean = (mixture.weights[:, None] * mixture.means).sum(0)
    torch.testing.assert_close(x.mean(0), mean, atol=0.02, rtol=0)
    second = (mixture.covariances + mixture.means[:, :, None] * mixture.means[:, None]) * mixture.weights[
        :, None, None
    ]
    covariance = second.sum(0) - mean[:, None] * mean
    torch.testing.assert_close(torch.cov(x.T), covariance, atol=0.05, rtol=0)


def test_a_gaussian_fit_has_the_samples_mean_and_covariance():
    x = Mixture.random(3, 2, seed=6).sample(500, seed=7)
    fitted = Mixture.gaussian(x)
    torch.testing.assert_close(fitted.means[0], x.mean(0))
    torch.testing.assert_close(fitted.covariances[0], torch.cov(x.T))
