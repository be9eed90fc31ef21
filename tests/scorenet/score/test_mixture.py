"""Closed forms of the mixture, which is the oracle of other tests."""

import json
import math

import pytest
import torch

from scorenet.score.mixture import Mixture


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


def test_a_gaussian_fit_has_the_samples_mean_and_covariance():
    x = Mixture.random(3, 2, seed=6).sample(500, seed=7)
    fitted = Mixture.gaussian(x)
    torch.testing.assert_close(fitted.means[0], x.mean(0))
    torch.testing.assert_close(fitted.covariances[0], torch.cov(x.T))


@pytest.mark.parametrize("sigma", [0.02, 0.4, 15.0])
def test_hessian_and_divergence_are_those_of_the_log_density(sigma):
    mixture = Mixture.random(4, 3, seed=1)
    x = mixture.sample(6, seed=2, sigma=sigma)
    score, divergence = mixture.score_and_divergence(x, sigma)
    again, jacobian = mixture.score_and_hessian(x, sigma)
    for found in (score, again):
        torch.testing.assert_close(found, mixture.score(x, sigma))
    for row in range(len(x)):
        hessian = torch.autograd.functional.hessian(lambda z: mixture.log_density(z[None], sigma)[0], x[row])
        torch.testing.assert_close(divergence[row], hessian.trace())
        torch.testing.assert_close(jacobian[row], hessian)


@pytest.mark.parametrize("sigma", [0.02, 0.4, 15.0])
def test_the_denoiser_obeys_tweedies_formula(sigma):
    mixture = Mixture.random(4, 3, seed=1)
    x = mixture.sample(50, seed=2, sigma=sigma)
    torch.testing.assert_close(mixture.denoise(x, sigma), x + sigma**2 * mixture.score(x, sigma))


def test_every_row_may_have_its_own_sigma():
    mixture = Mixture.random(4, 3, seed=1)
    x, levels = mixture.sample(5, seed=2), torch.tensor([[0.1], [0.5], [1.0], [4.0], [20.0]]).double()
    for method in (mixture.log_density, mixture.score, mixture.denoise, mixture.score_and_divergence):
        together = method(x, levels)
        for row in range(5):
            alone = method(x[row : row + 1], float(levels[row]))
            for a, b in zip(*((v,) if torch.is_tensor(v) else v for v in (together, alone)), strict=True):
                torch.testing.assert_close(a[row : row + 1], b)


def test_single_precision_is_as_good_as_its_digits():
    # An axis a thousand times narrower than the others and a tiny sigma: no cancellation may occur.
    mixture = Mixture.random(4, 3, seed=1)
    thin = mixture.covariances.clone()
    thin[:, 0] *= 1e-3
    thin[:, :, 0] *= 1e-3
    mixture = Mixture(mixture.weights, mixture.means, thin)
    x = mixture.sample(500, seed=2, sigma=0.01)
    for exact, rounded in zip(
        mixture.score_and_divergence(x, 0.01), mixture.score_and_divergence(x.float(), 0.01), strict=True
    ):
        assert rounded.dtype == torch.float32
        assert float((exact - rounded).norm() / exact.norm()) < 1e-4


def test_the_whole_mixture_has_the_moments_of_its_samples():
    mixture = Mixture.random(3, 2, seed=4)
    x = mixture.sample(200_000, seed=5)
    torch.testing.assert_close(x.mean(0), mixture.mean, atol=0.02, rtol=0)
    torch.testing.assert_close(torch.cov(x.T), mixture.covariance, atol=0.05, rtol=0)


def test_a_mixture_goes_through_json_unchanged():
    mixture = Mixture.random(3, 2, seed=4)
    again = Mixture.from_dict(json.loads(json.dumps(mixture.to_dict())))
    for name in ("weights", "means", "covariances"):
        assert torch.equal(getattr(mixture, name), getattr(again, name))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v["weights"].pop(), "1 weights for 2 means"),
        (lambda v: v["weights"].__setitem__(0, 0.9), "sum 1"),
        (lambda v: v["weights"].__setitem__(0, -0.1), "positive weights"),
        (lambda v: v["means"][0].__setitem__(0, float("nan")), "finite"),
        (lambda v: v["covariances"].pop(), r"covariances \[K, d, d\]"),
        (lambda v: v["covariances"][0][0].__setitem__(1, 0.7), "not symmetric"),
        (lambda v: v["covariances"][0][0].__setitem__(0, -1.0), "negative eigenvalues"),
        (lambda v: v.update(means=[[], []], covariances=[[], []]), "expected"),
    ],
)
def test_an_impossible_mixture_is_refused(change, message):
    values = Mixture.random(3, 2, seed=4).to_dict()
    change(values)
    with pytest.raises(ValueError, match=message):
        Mixture.from_dict(values)
