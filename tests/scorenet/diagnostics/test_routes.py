"""The density methods agree for an exact score, and the report shows it if they do not."""

import pytest
import torch

from scorenet.diagnostics.routes import agreement, density_routes
from scorenet.score.denoiser import Denoiser
from scorenet.score.mixture import Mixture


class Nothing(torch.nn.Module):
    def forward(self, x, c_noise, pull=None):
        return 0.0 * x


class Swirl(torch.nn.Module):
    """A field that is not a gradient: a rotation around the origin, without divergence."""

    def forward(self, x, c_noise, pull=None):
        return 0.8 * torch.stack((x[:, 1], -x[:, 0], 0.0 * x[:, 2]), dim=1)


MIXTURE = Mixture.random(3, 2, seed=1, spread=1.0)
X = MIXTURE.sample(60, seed=2)


def all_routes(network):
    # The methods use another base than p, so that the quadratures are tested and not only q = p.
    base = Mixture.gaussian(MIXTURE.sample(50_000, seed=3))
    routes = density_routes(Denoiser(network, MIXTURE), base, sigma=0.3, sigma_max=30.0, nodes=20, steps=48)
    return {name: route(X) for name, route in routes.items()}


def test_with_the_exact_score_all_routes_agree_with_the_truth():
    found = all_routes(Nothing())
    truth = MIXTURE.log_density(X, 0.3)
    limits = {"heat": 0.01, "flow": 0.05, "flow_vp": 0.02, "flow_hutchinson": 0.8, "immse": 0.4}
    for name, limit in limits.items():
        assert (found[name] - truth).square().mean().sqrt() < limit, name
    # The left Riemann sum ends one step before x, so it has an error even with the exact score.
    assert (found["path_integral"] - truth).abs().max() < 0.5


def test_a_score_that_is_no_gradient_shows():
    reports = {(r.first, r.second): r for r in agreement(all_routes(Swirl()))}
    honest = {(r.first, r.second): r for r in agreement(all_routes(Nothing()))}
    assert reports["heat", "flow_vp"].rms > 5 * honest["heat", "flow_vp"].rms
    assert len(reports) == 15


def test_the_report_in_numbers():
    a = torch.tensor([0.0, 1.0, 2.0])
    (pair,) = agreement({"a": a, "b": a + 0.5})
    assert pair == ("a", "b", -0.5, 0.5, pytest.approx(1.0))
    (flat,) = agreement({"a": a, "b": torch.ones(3)})
    assert flat.correlation == 0.0
