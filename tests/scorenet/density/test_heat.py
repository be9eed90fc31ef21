"""The heat-equation route against closed forms."""

import math

import pytest
import torch

from scorenet.density.heat import arctan_sigmas, heat_log_density, legendre_sigmas
from scorenet.score.mixture import Mixture

MIXTURE = Mixture.random(5, 3, seed=1)
GAUSSIAN = Mixture.gaussian(MIXTURE.sample(100_000, seed=3))


@pytest.mark.parametrize("sigma", [0.1, 0.3, 1.0])
def test_with_the_exact_score_the_route_is_exact(sigma):
    x = MIXTURE.sample(200, seed=2)
    found = heat_log_density(MIXTURE.score_and_divergence, GAUSSIAN, x, sigma=sigma, sigma_max=60.0, nodes=24)
    torch.testing.assert_close(found, MIXTURE.log_density(x, sigma), atol=0.01, rtol=0)


def test_a_base_that_fits_leaves_less_to_the_quadrature():
    x = MIXTURE.sample(200, seed=2)
    near = Mixture(MIXTURE.weights, MIXTURE.means + 0.05, MIXTURE.covariances * 1.1)
    truth = MIXTURE.log_density(x, 0.1)
    gaps = [
        (heat_log_density(MIXTURE.score_and_divergence, base, x, sigma=0.1, sigma_max=60.0, nodes=4) - truth)
        .abs()
        .max()
        for base in (GAUSSIAN, near)
    ]
    assert gaps[1] < 0.25 * gaps[0]


def test_the_base_itself_costs_no_error_at_any_number_of_nodes():
    x = MIXTURE.sample(50, seed=2)
    found = heat_log_density(MIXTURE.score_and_divergence, MIXTURE, x, sigma=0.05, sigma_max=20.0, nodes=2)
    torch.testing.assert_close(found, MIXTURE.log_density(x, 0.05))


def test_blocks_do_not_matter():
    x = MIXTURE.sample(50, seed=2)
    whole, parts = (
        heat_log_density(MIXTURE.score_and_divergence, GAUSSIAN, x, sigma=0.2, sigma_max=20.0, block=block)
        for block in (512, 7)
    )
    torch.testing.assert_close(whole, parts, rtol=0, atol=1e-12)


def test_quadrature_is_exact_for_powers_of_the_logarithm():
    sigmas, weights = legendre_sigmas(0.1, 5.0, 4)
    for power in range(8):
        expected = (math.log(5.0) ** (power + 1) - math.log(0.1) ** (power + 1)) / (power + 1)
        assert float((weights * sigmas.log() ** power).sum()) == pytest.approx(expected)


def test_nodes_in_arctan_integrate_over_ln_sigma():
    # The integral of sigma^2 / (1 + sigma^2)^2 over ln sigma is that of sin cos over the angle: sin^2 / 2.
    levels, weights = arctan_sigmas(0.2, 20.0, 6)
    found = float((weights * levels**2 / (1 + levels**2) ** 2).sum())
    expected = (math.sin(math.atan(20.0)) ** 2 - math.sin(math.atan(0.2)) ** 2) / 2
    assert found == pytest.approx(expected, abs=1e-8)


def test_five_nodes_are_enough_from_a_single_gaussian():
    x = MIXTURE.sample(200, seed=2)
    found = heat_log_density(MIXTURE.score_and_divergence, GAUSSIAN, x, sigma=0.2, sigma_max=20.0, nodes=5)
    gap = found - MIXTURE.log_density(x, 0.2)
    # With nodes in ln sigma the error of five is 0.13 nat.
    assert float(gap.square().mean().sqrt()) < 0.05
