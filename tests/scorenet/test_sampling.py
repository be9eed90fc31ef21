"""Heun sampling with the exact score gives back the law."""

import torch

from scorenet.analytic import Mixture
from scorenet.denoiser import Denoiser
from scorenet.sampling import heun


class Oracle(Denoiser):
    def __init__(self, mixture: Mixture) -> None:
        super().__init__(torch.nn.Identity())
        self.mixture, self.calls = mixture, 0

    def score(self, x, sigma):
        self.calls += 1
        return self.mixture.score(x, float(torch.as_tensor(sigma).flatten()[0]))


def test_samples_have_the_laws_moments_and_mode_weights():
    mixture = Mixture.random(3, 2, seed=2, spread=3.0)
    reference = mixture.sample(40_000, seed=1)
    oracle = Oracle(mixture)
    x = heun(oracle, Mixture.gaussian(reference), 20_000, seed=3, sigma_max=40.0, steps=24)
    torch.testing.assert_close(x.mean(0), reference.mean(0), atol=0.12, rtol=0)
    torch.testing.assert_close(torch.cov(x.T), torch.cov(reference.T), atol=0.35, rtol=0)
    nearest = torch.cdist(x, mixture.means).argmin(1)
    expected = torch.cdist(reference, mixture.means).argmin(1)
    assert abs(float((nearest == 0).double().mean() - (expected == 0).double().mean())) < 0.02
    assert oracle.calls == 2 * 24 - 1


def test_a_seed_names_the_sample():
    mixture = Mixture.random(2, 2, seed=2)
    base = Mixture.gaussian(mixture.sample(1_000, seed=1))
    first, again, other = (heun(Oracle(mixture), base, 10, seed=s) for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
