"""The slope term of the density net: zero for the true gradient, and useful where labels are few."""

import pytest
import torch

from scorenet.config import DensityConfig, NoiseConfig
from scorenet.density import net as module
from scorenet.density.net import DensityNet, fit_density_net, slope_error
from scorenet.score.mixture import Mixture
from scorenet.score.training import TrainingLog
from tests.scorenet.density.test_net import Exact

MIXTURE = Mixture.random(3, 3, seed=4, spread=1.0)


class Times:
    """`factor` times the score of the mixture."""

    def __init__(self, factor):
        self.factor = factor

    def score(self, x, sigma):
        return self.factor * MIXTURE.score(x, sigma)


class Constant:
    """A score that is `level` everywhere."""

    def __init__(self, level):
        self.level = level

    def score(self, x, sigma):
        return torch.full_like(x, self.level)


def error_of(factor, rows, sigma=0.3):
    net = DensityNet(MIXTURE, sigma, hidden=8).double()
    return float(slope_error(net, Times(factor), rows, sigma, torch.Generator().manual_seed(0)).detach())


def test_the_slope_of_the_mixture_is_its_score():
    rows = MIXTURE.sample(200, seed=7)
    # The noise of the generator is single precision; the gradient itself is exact.
    assert error_of(1.0, rows) < 1e-9


def test_the_error_of_a_score_twice_as_steep_is_bounded_row_by_row():
    rows = MIXTURE.sample(200, seed=7)
    noise = torch.randn(rows.shape, generator=torch.Generator().manual_seed(0))
    score = MIXTURE.score(rows + 0.3 * noise, 0.3)
    per_row = score.square().mean(1)
    assert error_of(2.0, rows) == pytest.approx(float((per_row / (1 + 4 * per_row)).mean()), rel=1e-6)


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("level", [0.5, 2.0])
def test_the_loss_adds_the_weighted_error_of_the_slope(monkeypatch, level, fresh):
    monkeypatch.setattr(module, "heat_log_density", lambda field, base, x, **_: torch.zeros(len(x)))
    x = 1e6 * torch.randn(50, 3, generator=torch.Generator().manual_seed(1))

    def first_loss(weight):
        seen = []

        def untrained(net, loss, validate, recipe, **_):
            seen.append(loss().item())
            return TrainingLog()

        monkeypatch.setattr(module, "fit", untrained)
        config = DensityConfig(points=64, batch_size=32, hidden=8, slope_weight=weight, fresh_slopes=fresh)
        denoiser = Exact(Constant(level), x)
        fit_density_net(denoiser, x, x, config, NoiseConfig(), seed=0, progress=False)
        return seen[0]

    # The slope of the untrained net is the score of a Gaussian a million wide: 0. The error is the score itself.
    error = level**2 / (1 + level**2)
    for weight in (1.0, 3.0):
        assert first_loss(weight) - first_loss(0.0) == pytest.approx(weight * error, abs=1e-4)


def test_few_labels_and_the_slope_give_a_better_gradient_than_few_labels_alone():
    x, fresh = MIXTURE.sample(500, seed=5).float(), MIXTURE.sample(300, seed=6).float()
    gaps = []
    for weight in (0.0, DensityConfig().slope_weight):
        config = DensityConfig(points=100, steps=150, hidden=32, batch_size=64, slope_weight=weight)
        noise = NoiseConfig(sigma_max=40.0)
        net, _, _ = fit_density_net(Exact(MIXTURE, x), x, fresh, config, noise, seed=0, progress=False)
        near = fresh.clone().requires_grad_()
        (slope,) = torch.autograd.grad(net(near).sum(), near)
        gaps.append(float((slope - MIXTURE.score(fresh, config.sigma)).square().mean()))
    assert gaps[1] < gaps[0]
