"""VE and VP are the same process: schedules, change of variables and trajectories agree."""

import math

import pytest
import torch

from scorenet.density.vp import CosineBeta, LinearBeta, alpha_of, to_ve, to_vp, vp_field, vp_score
from scorenet.score.mixture import Mixture

SCHEDULES = [LinearBeta(), LinearBeta(0.5, 5.0), CosineBeta()]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_time_and_sigma_are_inverse(schedule):
    for sigma in (0.01, 0.2, 1.0, 8.0):
        assert schedule.sigma(schedule.time(sigma)) == pytest.approx(sigma, rel=1e-9)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_beta_is_the_rate_at_which_the_signal_fades(schedule):
    for t in (0.1, 0.4, 0.7):
        step = 1e-5
        fade = [2 * math.log(alpha_of(schedule.sigma(t + sign * step))) for sign in (1, -1)]
        assert schedule.beta(t) == pytest.approx(-(fade[0] - fade[1]) / (2 * step), rel=1e-6)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_vp_score_is_that_of_the_scaled_mixture(schedule):
    mixture = Mixture.random(3, 2, seed=1)
    t = schedule.time(0.8)
    alpha = alpha_of(0.8)
    shrunk = Mixture(mixture.weights, alpha * mixture.means, alpha**2 * mixture.covariances)
    u = shrunk.sample(20, seed=2)
    noise = math.sqrt(1 - alpha**2)
    value, divergence = shrunk.score_and_divergence(u, noise)
    torch.testing.assert_close(vp_score(mixture.score, schedule, u, t), value)
    found = vp_field(mixture.score_and_divergence, schedule, u, t)
    torch.testing.assert_close(found[0], value)
    torch.testing.assert_close(found[1], divergence)
    torch.testing.assert_close(
        shrunk.log_density(u, noise), mixture.log_density(to_ve(u, 0.8), 0.8) - 3 * math.log(alpha)
    )


def test_the_exchange_is_inverse():
    x = torch.randn(5, 3, dtype=torch.float64)
    torch.testing.assert_close(to_ve(to_vp(x, 2.5), 2.5), x)
