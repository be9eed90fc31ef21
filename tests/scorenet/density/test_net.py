"""The per-bar net against the heat-equation route that it is fitted to."""

import pytest
import torch

from scorenet.config import DensityConfig, NoiseConfig
from scorenet.density.net import DensityNet, fit_density_net
from scorenet.score.denoiser import Denoiser
from scorenet.score.mixture import Mixture


class Nothing(torch.nn.Module):
    def forward(self, x, c_noise, pull=None):
        return 0.0 * x


class Exact(Denoiser):
    """The net that corrects one Gaussian into `truth` without error."""

    def __init__(self, truth, x):
        super().__init__(Nothing(), Mixture.gaussian(x.double()))
        self.truth = truth

    def score(self, x, sigma):
        return self.truth.score(x, sigma)

    def correction(self, x, sigma):
        return self.truth.score(x, sigma) - self.base.score(x, sigma)

    def score_and_divergence(self, x, sigma):
        return self.truth.score_and_divergence(x, sigma)


MIXTURE = Mixture.random(3, 3, seed=4, spread=1.0)


def test_the_density_net_learns_what_the_route_adds_to_its_mixture():
    x, held_out = MIXTURE.sample(4_000, seed=5).float(), MIXTURE.sample(500, seed=6).float()
    config = DensityConfig(points=4_000, steps=800, hidden=64, batch_size=256)
    net, log, error = fit_density_net(
        Exact(MIXTURE, x), x, held_out, config, NoiseConfig(sigma_max=40.0), seed=0, progress=False
    )
    truth = MIXTURE.log_density(held_out.double(), config.sigma)
    with torch.no_grad():
        gap = net(held_out).double() - truth
        bare = net.base_log_density(held_out).double() - truth
    assert float(bare.square().mean().sqrt()) > 0.5, "there is something to learn"
    assert error["rmse"] < 0.15
    assert float(gap.square().mean().sqrt()) < 0.15
    assert error["entropy"] == pytest.approx(-float(truth.mean()), abs=0.05)
    assert log.best_step > 0


def test_without_a_correction_the_net_is_the_noised_mixture():
    net = DensityNet(MIXTURE, 0.3, hidden=8).double()
    rows = MIXTURE.sample(200, seed=7)
    with torch.no_grad():
        torch.testing.assert_close(net(rows), MIXTURE.log_density(rows, 0.3))


def test_far_states_are_less_familiar_than_any_near_one():
    x = MIXTURE.sample(4_000, seed=5).float()
    config = DensityConfig(points=2_000, steps=300, hidden=32, batch_size=256)
    net, _, _ = fit_density_net(
        Denoiser(Nothing(), MIXTURE), x, x, config, NoiseConfig(sigma_max=40.0), seed=0, progress=False
    )
    direction = torch.nn.functional.normalize(torch.randn(200, 3), dim=1)
    with torch.no_grad():
        assert net(12 * direction).max() < net(x).quantile(0.01)
