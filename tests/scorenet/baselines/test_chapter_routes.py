"""The chapter's baselines compute what the chapter defines, errors included."""

import math

import torch

from scorenet.baselines.chapter_routes import chapter_langevin, path_integral
from scorenet.score.mixture import Mixture

NORMAL = Mixture(torch.ones(1).double(), torch.zeros(1, 3).double(), torch.eye(3).double()[None])


def test_the_path_integral_stops_one_step_short():
    x = torch.tensor([[1.0, 2.0, -1.0]], dtype=torch.float64)
    found = path_integral(NORMAL.score, x, sigma=0.0, steps=100)
    # The exact difference is -|x|^2 / 2; a left sum over 100 steps has the factor 99/100.
    torch.testing.assert_close(found, -0.5 * x.square().sum(1) * 0.99)


def test_annealed_langevin_keeps_noise_that_it_should_not():
    # All data at 0: what is left of the variance is the sampler's own.
    point = Mixture(torch.ones(1).double(), torch.zeros(1, 2).double(), torch.zeros(1, 2, 2).double())
    x = chapter_langevin(point.score, 4_000, 2, seed=1)
    excess = float(x.var()) / 0.01**2
    kept, ratio = (1 - 0.01) ** 200, 10 ** (4 / 9)
    stationary = 1 / (1 - 0.005)
    steady = (stationary * (1 - kept)) / (1 - kept * ratio)  # the fixed point of ten levels
    assert math.isclose(excess, steady, rel_tol=0.05)
    assert excess > 1.2
