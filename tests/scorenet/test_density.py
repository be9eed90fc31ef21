"""The heat-equation route against closed forms, and the per-bar net against the route."""

import pytest
import torch

from scorenet.analytic import Mixture
from scorenet.config import DensityConfig, NoiseConfig
from scorenet.denoiser import Denoiser
from scorenet.density import fit_density_net, heat_log_density, score_and_divergence
from scorenet.networks import NoiseConditionalMlp


class Oracle(Denoiser):
    def __init__(self, mixture: Mixture) -> None:
        super().__init__(torch.nn.Identity())
        self.mixture = mixture

    def score(self, x, sigma):
        level = torch.as_tensor(sigma).flatten()[0]
        double = Mixture(
            *(part.double() for part in (self.mixture.weights, self.mixture.means, self.mixture.covariances))
        )
        return double.score(x.double(), level).to(x.dtype)


def test_divergence_is_the_trace_of_the_jacobian():
    torch.manual_seed(0)
    network = NoiseConditionalMlp(4, hidden=16, blocks=1)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    denoiser = Denoiser(network).double()
    x, sigma = torch.randn(6, 4, dtype=torch.float64), torch.full((6, 1), 0.3, dtype=torch.float64)
    value, divergence = score_and_divergence(denoiser.score, x, sigma)
    torch.testing.assert_close(value, denoiser.score(x, 0.3))
    for row in range(6):
        jacobian = torch.autograd.functional.jacobian(lambda z: denoiser.score(z[None], 0.3)[0], x[row])
        torch.testing.assert_close(divergence[row], jacobian.trace())


@pytest.mark.parametrize("sigma", [0.1, 0.3, 1.0])
def test_with_the_exact_score_the_route_is_exact(sigma):
    mixture = Mixture.random(5, 3, seed=1)
    x = mixture.sample(200, seed=2)
    base = Mixture.gaussian(mixture.sample(100_000, seed=3))
    found = heat_log_density(Oracle(mixture).score, base, x, sigma=sigma, sigma_max=60.0, nodes=24)
    torch.testing.assert_close(found, mixture.log_density(x, sigma), atol=0.02, rtol=0)


def test_blocks_do_not_matter():
    mixture = Mixture.random(3, 2, seed=1)
    x, base = mixture.sample(50, seed=2), Mixture.gaussian(mixture.sample(1_000, seed=3))
    whole = heat_log_density(Oracle(mixture).score, base, x, sigma=0.2, sigma_max=20.0)
    parts = heat_log_density(Oracle(mixture).score, base, x, sigma=0.2, sigma_max=20.0, block=7)
    torch.testing.assert_close(whole, parts, rtol=0, atol=1e-12)


def test_the_density_net_follows_the_route():
    mixture = Mixture.random(3, 3, seed=4, spread=1.0)
    x, held_out = mixture.sample(4_000, seed=5).float(), mixture.sample(500, seed=6).float()
    config = DensityConfig(points=4_000, steps=800, hidden=64, batch_size=256)
    net, log, error = fit_density_net(
        Oracle(mixture), x, held_out, config, NoiseConfig(sigma_max=40.0), seed=0, progress=False
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
        Oracle(mixture), x, x, config, NoiseConfig(sigma_max=40.0), seed=0, progress=False
    )
    direction = torch.nn.functional.normalize(torch.randn(200, 3), dim=1)
    with torch.no_grad():
        assert net(12 * direction).max() < net(x).quantile(0.01)
