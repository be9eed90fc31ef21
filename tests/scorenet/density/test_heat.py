"""The heat-equation route against closed forms."""

import math

import pytest
import torch

from scorenet.density.heat import heat_log_density, legendre_sigmas
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
        (heat_log_density(MIXTURE.score_and_divergence, base, x, sigma=0.1, sigma_max=60.0, nodes=8) - truth)
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
