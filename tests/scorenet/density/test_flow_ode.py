"""The probability-flow routes against closed forms, in both forms of the noise."""

import pytest
import torch

from scorenet.density.flow_ode import flow_log_density, vp_flow_log_density
from scorenet.density.vp import CosineBeta, LinearBeta
from scorenet.score.divergence import hutchinson_field
from scorenet.score.mixture import Mixture

MIXTURE = Mixture.random(4, 3, seed=1, spread=1.0)
GAUSSIAN = Mixture.gaussian(MIXTURE.sample(100_000, seed=3))
X = MIXTURE.sample(100, seed=2)
SPAN = {"sigma": 0.2, "sigma_max": 30.0}


def test_with_the_exact_field_the_ve_route_is_exact():
    found = flow_log_density(MIXTURE.score_and_divergence, GAUSSIAN, X, steps=64, **SPAN)
    torch.testing.assert_close(found, MIXTURE.log_density(X, 0.2), atol=0.02, rtol=0)


@pytest.mark.parametrize("schedule", [LinearBeta(), CosineBeta()])
def test_with_the_exact_field_the_vp_route_gives_the_same_density_in_fewer_steps(schedule):
    found = vp_flow_log_density(
        MIXTURE.score_and_divergence, GAUSSIAN, X, steps=24, schedule=schedule, **SPAN
    )
    torch.testing.assert_close(found, MIXTURE.log_density(X, 0.2), atol=0.02, rtol=0)


def test_the_error_falls_with_the_square_of_the_steps():
    truth = MIXTURE.log_density(X, 0.2)
    errors = [
        (flow_log_density(MIXTURE.score_and_divergence, GAUSSIAN, X, steps=steps, **SPAN) - truth)
        .abs()
        .mean()
        for steps in (16, 32)
    ]
    assert 3 < errors[0] / errors[1] < 5


def test_with_random_probes_the_route_is_right_in_the_mean():
    exact = vp_flow_log_density(MIXTURE.score_and_divergence, GAUSSIAN, X, steps=16, **SPAN)
    found = torch.stack(
        [
            vp_flow_log_density(
                hutchinson_field(MIXTURE.score, seed=seed), GAUSSIAN, X[:40], steps=16, **SPAN
            )
            for seed in range(40)
        ]
    )
    gap, error = found.mean(0) - exact[:40], found.std(0) / 40**0.5
    assert (gap / error).square().mean() < 2
    assert float(found.std(0).mean()) > 0.01
