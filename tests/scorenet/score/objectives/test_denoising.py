"""Denoising score matching: its minimiser, and that the antithetic pair changes only the variance."""

import pytest
import torch

from scorenet.config import NoiseConfig
from scorenet.score.denoiser import Denoiser
from scorenet.score.mixture import Mixture
from scorenet.score.objectives import FrozenNoise, NoisyBatch, dsm, dsm_residual

NOISE = NoiseConfig(sigma_min=0.1, sigma_max=5.0)


class Oracle(Denoiser):
    """A denoiser with the exact score of a mixture, shifted by `error`."""

    def __init__(self, mixture: Mixture, error: float = 0.0) -> None:
        super().__init__(torch.nn.Identity())
        self.mixture, self.error = mixture, error

    def score(self, x, sigma):
        level = torch.as_tensor(sigma, dtype=x.dtype).flatten()[0]
        return self.mixture.score(x, float(level)) + self.error


def test_the_exact_score_minimises_the_loss():
    mixture = Mixture.random(3, 2, seed=1)
    held_out = FrozenNoise(mixture.sample(4_000, seed=2), NOISE)
    exact = held_out(Oracle(mixture))
    for error in (-0.1, 0.1):
        assert held_out(Oracle(mixture, error)) > exact


def test_the_excess_loss_is_the_fisher_error():
    mixture = Mixture.random(3, 2, seed=1)
    held_out = FrozenNoise(mixture.sample(20_000, seed=2), NOISE, rows=20_000)
    exact, shifted = held_out.by_sigma(Oracle(mixture)), held_out.by_sigma(Oracle(mixture, 0.2))
    for (sigma, low), (_, high) in zip(exact, shifted, strict=True):
        # E|sigma (s + 0.2) + e|^2 - E|sigma s + e|^2 = (0.2 sigma)^2 when s is exact.
        assert abs((high - low) / (0.2 * sigma) ** 2 - 1) < 0.1 + 0.1 / sigma


def test_the_loss_is_the_mean_of_its_rows():
    mixture = Mixture.random(3, 2, seed=1)
    held_out = FrozenNoise(mixture.sample(300, seed=2), NOISE)
    rows = held_out.by_row(Oracle(mixture))
    assert rows.shape == (300,)
    assert float(rows.mean()) == pytest.approx(held_out(Oracle(mixture)))


def test_frozen_noise_is_frozen():
    mixture = Mixture.random(3, 2, seed=1)
    x = mixture.sample(500, seed=2)
    assert FrozenNoise(x, NOISE)(Oracle(mixture)) == FrozenNoise(x, NOISE)(Oracle(mixture))
    assert FrozenNoise(x, NOISE, seed=1)(Oracle(mixture)) != FrozenNoise(x, NOISE)(Oracle(mixture))


def test_residual_is_zero_for_a_point_mass():
    # All data at 0: the score at noise sigma is -x / sigma^2, and sigma * score + noise vanishes for every draw.
    mixture = Mixture(torch.ones(1).double(), torch.zeros(1, 2).double(), 1e-12 * torch.eye(2).double()[None])
    noise = torch.randn(100, 2, dtype=torch.float64)
    sigma = torch.full((100, 1), 0.5, dtype=torch.float64)
    residual = dsm_residual(Oracle(mixture), torch.zeros(100, 2).double(), sigma, noise)
    assert float(residual.abs().max()) < 1e-8


def test_pairs_have_the_mean_of_single_draws_and_a_far_steadier_response_to_error():
    mixture = Mixture.random(3, 2, seed=1)
    x = mixture.sample(64, seed=2)
    exact, wrong = Oracle(mixture), Oracle(mixture, 0.1)
    narrow = NoiseConfig(sigma_min=0.1, sigma_max=0.1001, log_mean=-2.3, log_std=0.01)
    sigma = torch.full((64, 1), 0.1, dtype=torch.float64)

    def pair(oracle, seed):
        return dsm(oracle, NoisyBatch.draw(x, narrow, torch.Generator().manual_seed(seed)))

    def single(oracle, seed):
        noise = torch.randn(64, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        return 1.01 * dsm_residual(oracle, x, sigma, noise).square().mean()

    pairs, singles = (torch.stack([f(wrong, s) - f(exact, s) for s in range(300)]) for f in (pair, single))
    error = float((pairs.var() / 300 + singles.var() / 300).sqrt())
    assert abs(float(pairs.mean() - singles.mean())) < 4 * error
    # An optimiser depends on the loss difference of two scores; in a pair, the noise itself cancels in it.
    assert pairs.std() < singles.std() / 5
