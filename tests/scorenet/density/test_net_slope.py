"""The slope term of the density net: zero for the true gradient, and useful where labels are few."""

import pytest
import torch

from scorenet.config import DensityConfig, NoiseConfig
from scorenet.density import net as module
from scorenet.density.net import DensityNet, fit_density_net
from scorenet.score.mixture import Mixture
from tests.scorenet.density.test_net import Exact

MIXTURE = Mixture.random(3, 3, seed=4, spread=1.0)


class Times:
    """`factor` times the score of the mixture."""

    def __init__(self, factor):
        self.factor = factor

    def score(self, x, sigma):
        return self.factor * MIXTURE.score(x, sigma)


def slope_error(factor, rows, sigma=0.3):
    net = DensityNet(MIXTURE, sigma, hidden=8).double()
    return float(
        module._slope_error(net, Times(factor), rows, sigma, torch.Generator().manual_seed(0)).detach()
    )


def test_the_slope_of_the_mixture_is_its_score():
    rows = MIXTURE.sample(200, seed=7)
    # The noise of the generator is single precision; the gradient itself is exact.
    assert slope_error(1.0, rows) < 1e-9


def test_the_error_of_a_score_twice_as_steep_is_bounded_row_by_row():
    rows = MIXTURE.sample(200, seed=7)
    noise = torch.randn(rows.shape, generator=torch.Generator().manual_seed(0))
    score = MIXTURE.score(rows + 0.3 * noise, 0.3)
    per_row = score.square().mean(1)
    assert slope_error(2.0, rows) == pytest.approx(float((per_row / (1 + 4 * per_row)).mean()), rel=1e-6)


def test_few_labels_and_the_slope_give_a_better_gradient_than_few_labels_alone():
    x, fresh = MIXTURE.sample(500, seed=5).float(), MIXTURE.sample(300, seed=6).float()
    gaps = []
    for weight in (0.0, 1.0):
        config = DensityConfig(
            points=100, steps=150, hidden=32, batch_size=64, slope_weight=weight, learning_rate=3e-3
        )
        noise = NoiseConfig(sigma_max=40.0)
        net, _, _ = fit_density_net(Exact(MIXTURE, x), x, fresh, config, noise, seed=0, progress=False)
        near = fresh.clone().requires_grad_()
        (slope,) = torch.autograd.grad(net(near).sum(), near)
        gaps.append(float((slope - MIXTURE.score(fresh, config.sigma)).square().mean()))
    assert gaps[1] < 0.9 * gaps[0]
