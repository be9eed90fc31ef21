"""The per-bar net against the heat-equation route that it is fitted to."""

import pytest
import torch

from scorenet.analytic import Mixture
from scorenet.config import DensityConfig, NoiseConfig
from scorenet.denoiser import Denoiser
from scorenet.density import fit_density_net


class Nothing(torch.nn.Module):
    def forward(self, x, c_noise, pull=None):
        return 0.0 * x


def test_the_density_net_follows_the_route():
    mixture = Mixture.random(3, 3, seed=4, spread=1.0)
    x, held_out = mixture.sample(4_000, seed=5).float(), mixture.sample(500, seed=6).float()
    config = DensityConfig(points=4_000, steps=800, hidden=64, batch_size=256)
    net, log, error = fit_density_net(
        Denoiser(Nothing(), mixture), x, held_out, config, NoiseConfig(sigma_max=40.0), seed=0, progress=False
    )
    truth = mixture.log_density(held_out.double(), config.sigma)
    with torch.no_grad():
        gap = net(held_out).double() - truth
    assert error["rmse"] < 0.25
    assert float(gap.square().mean().sqrt()) < 0.3
    assert error["entropy"] == pytest.approx(-float(truth.mean()), abs=0.05)
    assert log.best_step > 0


def test_far_states_are_less_familiar_than_any_near_one():
    mixture = Mixture.random(3, 3, seed=4, spread=1.0)
    x = mixture.sample(4_000, seed=5).float()
    config = DensityConfig(points=2_000, steps=300, hidden=32, batch_size=256)
    net, _, _ = fit_density_net(
        Denoiser(Nothing(), mixture), x, x, config, NoiseConfig(sigma_max=40.0), seed=0, progress=False
    )
    direction = torch.nn.functional.normalize(torch.randn(200, 3), dim=1)
    with torch.no_grad():
        assert net(12 * direction).max() < net(x).quantile(0.01)
