"""The energy net: normalised, conservative, exact at large noise, and trained by two derivatives."""

import pytest
import torch

from scorenet.config import NoiseConfig
from scorenet.score.mixture import Mixture
from scorenet.score.networks import EnergyNet
from scorenet.score.objectives import NoisyBatch, dual
from scorenet.score.objectives.dual import dual_loss
from scorenet.score.training import Recipe, fit, seeded

NOISE = NoiseConfig(sigma_min=0.1, sigma_max=20.0)


@pytest.fixture
def net() -> EnergyNet:
    torch.manual_seed(0)
    net = EnergyNet(Mixture.random(3, 2, seed=1), hidden=16, blocks=1).double()
    torch.nn.init.normal_(net.network.leave.weight, std=0.3)
    return net.requires_grad_(False)


class Shifted:
    """The exact log-density of a mixture plus `growth` ln sigma plus `slope` times the sum of the coordinates."""

    def __init__(self, target: Mixture, growth: float = 0.0, slope: float = 0.0) -> None:
        self.target, self.growth, self.slope = target, growth, slope

    def log_density(self, x, sigma):
        return self.target.log_density(x, sigma) + self.growth * sigma.log()[:, 0] + self.slope * x.sum(1)


def test_untrained_it_is_its_base_and_far_out_it_stays_so(net):
    x = torch.randn(20, 3, dtype=torch.float64)
    fresh = EnergyNet(net.base, hidden=8, blocks=1).double().requires_grad_(False)
    torch.testing.assert_close(fresh.log_density(x, 0.3), net.base.log_density(x, 0.3))
    assert float((net.log_density(x, 0.3) - net.base.log_density(x, 0.3)).abs().max()) > 0.01
    torch.testing.assert_close(net.log_density(x, 1e4), net.base.log_density(x, 1e4), atol=1e-6, rtol=0)


def test_its_score_is_the_slope_and_a_gradient(net):
    x = torch.randn(5, 3, dtype=torch.float64)
    step = 1e-6 * torch.eye(3).double()
    for axis in range(3):
        slope = (net.log_density(x + step[axis], 0.4) - net.log_density(x - step[axis], 0.4)) / 2e-6
        torch.testing.assert_close(net.score(x, 0.4)[:, axis], slope, atol=1e-6, rtol=1e-6)
    jacobian = torch.autograd.functional.jacobian(lambda z: net.score(z[None], 0.4)[0], x[0])
    torch.testing.assert_close(jacobian, jacobian.T)
    with torch.no_grad():
        assert not net.requires_grad_(True).score(x, 0.4).requires_grad


def test_the_exact_log_density_minimises_the_dual_loss_and_errors_cost_what_they_must():
    target, dim = Mixture.random(3, 2, seed=1), 3
    x = target.sample(20_000, seed=2).repeat(2, 1)
    noise = torch.randn(20_000, dim, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    noise, sigma = torch.cat((noise, -noise)), torch.full((40_000, 1), 0.5, dtype=torch.float64)

    def loss(**shift):
        return float(dual_loss(Shifted(target, **shift), x, sigma, noise, time_weight=0.5).detach())

    exact, weight = loss(), 1 + 0.5**2
    # A wrong rate in ln sigma of 0.6: 0.5 * weight * 0.6^2 / (2 d). A wrong slope of 0.4: weight * sigma^2 * 0.4^2,
    # and nothing in the other part.
    assert loss(growth=0.6) - exact == pytest.approx(0.5 * weight * 0.6**2 / (2 * dim), abs=0.01)
    assert loss(slope=0.4) - exact == pytest.approx(weight * 0.5**2 * 0.4**2, abs=0.01)
    for shift in ({"growth": -0.6}, {"slope": -0.4}):
        assert loss(**shift) > exact


def test_trained_on_two_modes_it_is_a_density():
    target = Mixture(
        torch.tensor([0.7, 0.3]).double(),
        torch.tensor([[-1.0], [1.2]]).double(),
        torch.full((2, 1, 1), 0.09).double(),
    )
    x = target.sample(4_000, seed=2).float()
    with seeded(0) as generator:
        net = EnergyNet(Mixture.gaussian(x.double()), hidden=32, blocks=1)

    def loss():
        pick = torch.randint(len(x), (256,), generator=generator)
        return dual(net, NoisyBatch.draw(x[pick], NOISE, generator))

    def validate(module):
        return float(dual(module, NoisyBatch.draw(x, NOISE, torch.Generator().manual_seed(5))).detach())

    fit(
        net,
        loss,
        validate,
        Recipe(steps=400, learning_rate=5e-3, weight_decay=0.0, ema=0.98),
        name="t",
        progress=False,
    )
    grid = torch.linspace(-6, 6, 1_201, dtype=torch.float64)[:, None]
    with torch.no_grad():
        found, truth = net.double().log_density(grid, 0.2), target.log_density(grid, 0.2)
    assert torch.trapezoid(found.exp(), grid[:, 0]).item() == pytest.approx(1.0, abs=0.1)
    weight = torch.softmax(truth, 0)
    gaussian = Mixture.gaussian(x.double()).log_density(grid, 0.2)
    assert float(weight @ (truth - found)) < 0.2 * float(weight @ (truth - gaussian))
