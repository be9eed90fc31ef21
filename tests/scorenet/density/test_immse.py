"""The denoising-error route against closed forms."""

import torch

from scorenet.density.immse import immse_log_density
from scorenet.score.mixture import Mixture

MIXTURE = Mixture.random(4, 3, seed=1, spread=1.0)
X = MIXTURE.sample(100, seed=2)
SPAN = {"sigma": 0.2, "sigma_max": 30.0}


def test_with_the_exact_score_the_route_is_right_within_its_noise():
    gaussian = Mixture.gaussian(MIXTURE.sample(100_000, seed=3))
    truth = MIXTURE.log_density(X, 0.2)
    gaps = [
        immse_log_density(MIXTURE.score, gaussian, X, nodes=16, pairs=64, seed=seed, **SPAN) - truth
        for seed in range(8)
    ]
    each, together = torch.stack(gaps).square().mean(), torch.stack(gaps).mean(0).square().mean()
    assert each.sqrt() < 0.15
    assert (
        together < 0.25 * each
    )  # eight seeds: the remaining error is noise if the mean has an eighth of the variance


def test_a_near_base_cancels_the_noise():
    near = Mixture(MIXTURE.weights, MIXTURE.means + 0.02, MIXTURE.covariances * 1.05)
    found = immse_log_density(MIXTURE.score, near, X, pairs=4, **SPAN)
    torch.testing.assert_close(found, MIXTURE.log_density(X, 0.2), atol=0.06, rtol=0)
    same = immse_log_density(MIXTURE.score, MIXTURE, X, pairs=1, nodes=2, **SPAN)
    torch.testing.assert_close(same, MIXTURE.log_density(X, 0.2))


def test_a_seed_names_the_estimate():
    gaussian = Mixture.gaussian(MIXTURE.sample(1_000, seed=3))
    once, again, other = (
        immse_log_density(MIXTURE.score, gaussian, X[:5], pairs=2, nodes=4, seed=seed, **SPAN)
        for seed in (1, 1, 2)
    )
    assert torch.equal(once, again)
    assert not torch.equal(once, other)
