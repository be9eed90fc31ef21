"""Samplers with the exact score reproduce the distribution, with the documented number of evaluations."""

import pytest
import torch

from scorenet.sampling import SAMPLERS
from scorenet.sampling.samplers import corrected_langevin, heun, langevin_step, predictor_corrector
from scorenet.score.mixture import Mixture

TARGET = Mixture.random(3, 2, seed=2, spread=3.0)
BASE = Mixture(torch.ones(1, dtype=torch.float64), TARGET.mean[None], TARGET.covariance[None])
CHEAP = {
    heun: ({"steps": 24}, 2 * 24 - 1),
    predictor_corrector: ({"steps": 120, "corrections": 2}, 3 * 119 + 1),
    corrected_langevin: ({}, 111 * 9 + 1),
}


class Oracle:
    """The exact score, which counts its calls and has no other method."""

    def __init__(self, mixture: Mixture) -> None:
        self.mixture, self.calls = mixture, 0

    def score(self, x, sigma):
        self.calls += 1
        return self.mixture.score(x, sigma)


def energy_distance(a, b):
    """Return the energy distance between two samples: 0 if their distributions are equal."""
    return float(2 * torch.cdist(a, b).mean() - torch.cdist(a, a).mean() - torch.cdist(b, b).mean())


@pytest.mark.parametrize("sampler", CHEAP, ids=lambda sampler: sampler.__name__)
def test_samples_have_the_moments_and_weights_of_the_target(sampler):
    options, evaluations = CHEAP[sampler]
    oracle = Oracle(TARGET)
    x = sampler(oracle, BASE, 6_000, seed=3, **options)
    assert oracle.calls == evaluations
    spread = TARGET.covariance.diagonal().sqrt()
    torch.testing.assert_close(x.mean(0), TARGET.mean, atol=0.06 * float(spread.max()), rtol=0)
    torch.testing.assert_close(
        torch.cov(x.T) / spread / spread[:, None],
        TARGET.covariance / spread / spread[:, None],
        atol=0.06,
        rtol=0,
    )
    torch.testing.assert_close(TARGET.responsibilities(x).mean(0), TARGET.weights, atol=0.025, rtol=0)
    reference = TARGET.sample(3_000, seed=1)
    floor = energy_distance(TARGET.sample(3_000, seed=2), reference)
    assert energy_distance(x[:3_000], reference) < floor + 0.01


@pytest.mark.parametrize("sampler", CHEAP, ids=lambda sampler: sampler.__name__)
def test_no_noise_is_left_where_data_are_thin(sampler):
    # Rows on a line: without the last denoising step, the noise would be 0.05.
    direction = torch.tensor([0.6, 0.8], dtype=torch.float64)
    line = Mixture(
        torch.ones(1, dtype=torch.float64),
        torch.zeros(1, 2, dtype=torch.float64),
        (direction[:, None] * direction)[None],
    )
    x = sampler(line, line, 2_000, seed=1)
    off = x @ torch.tensor([-0.8, 0.6], dtype=torch.float64)
    assert float(off.abs().max()) < 1e-9
    assert float((x @ direction).std()) == pytest.approx(1.0, abs=0.06)


@pytest.mark.parametrize("sampler", CHEAP, ids=lambda sampler: sampler.__name__)
def test_a_seed_names_the_sample(sampler):
    options, _ = CHEAP[sampler]
    first, again, other = (sampler(TARGET, BASE, 10, seed=s, **options) for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_corrections_are_as_long_for_one_row_as_for_many():
    def walk(n, seed):
        seen = []

        class Watched(Oracle):
            def score(self, x, sigma):
                seen.append(x.clone())
                return super().score(x, sigma)

        assert len(predictor_corrector(Watched(TARGET), BASE, n, seed, steps=20)) == n
        # The pilot rows set the step sizes; the last step does not need them.
        return torch.stack([x[:-n] for x in seen[:-1]])

    alone = walk(1, seed=1)
    assert torch.equal(alone, walk(1, seed=2))
    torch.testing.assert_close(alone, walk(300, seed=1), atol=1e-9, rtol=0)


@pytest.mark.parametrize("step", [0.1, 0.5])
def test_a_langevin_step_leaves_the_noise_as_it_is(step):
    generator = torch.Generator().manual_seed(0)
    x, noise = 0.3 * torch.randn(2, 200_000, 1, generator=generator, dtype=torch.float64)
    moved = langevin_step(x, -x / 0.3**2, 0.3, step, noise / 0.3)
    assert float(moved.var()) == pytest.approx(0.3**2, rel=0.02)
    usual = x - step * x + (2 * step) ** 0.5 * noise
    assert float(usual.var()) > (1 + 0.5 * step**2) * 0.3**2


@pytest.mark.parametrize("name", ["heun", "predictor_corrector", "langevin", "corrected_langevin"])
def test_every_sampler_by_name_gives_mean_and_covariance(name):
    x = SAMPLERS[name](BASE, BASE, 3_000, 1, sigma_min=0.05, sigma_max=20.0)
    spread = BASE.covariance.diagonal().sqrt()
    torch.testing.assert_close((x.mean(0) - BASE.mean) / spread, torch.zeros(3).double(), atol=0.08, rtol=0)
    found = torch.cov(x.T) / spread / spread[:, None]
    torch.testing.assert_close(found, BASE.covariance / spread / spread[:, None], atol=0.12, rtol=0)


def test_the_chapters_sampler_by_name_starts_and_stops_where_it_says():
    # Data N(0, 1/4): the start N(0, I) is wide enough, and the last noise is not removed.
    narrow = Mixture(torch.ones(1).double(), torch.zeros(1, 2).double(), 0.25 * torch.eye(2).double()[None])
    x = SAMPLERS["chapter_langevin"](narrow, narrow, 2_000, 1, sigma_min=0.05, sigma_max=20.0)
    assert x.shape == (2_000, 2)
    assert 0.2 < float(x.var()) < 0.4
