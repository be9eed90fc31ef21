"""Score fields: exact traces against the Jacobian and closed forms, random estimates against their mean."""

import pytest
import torch

from scorenet.score.denoiser import Denoiser
from scorenet.score.divergence import (
    denoiser_field,
    exact_field,
    hutchinson_field,
    sampled_field,
    score_and_divergence,
)
from scorenet.score.mixture import Mixture
from scorenet.score.networks import NoiseConditionalMlp


def rough_denoiser(base: Mixture | None) -> Denoiser:
    torch.manual_seed(0)
    network = NoiseConditionalMlp(4, hidden=16, blocks=1)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return Denoiser(network, base).double()


@pytest.mark.parametrize("base", [None, Mixture.random(4, 3, seed=1)])
def test_divergence_is_the_trace_of_the_jacobian(base):
    denoiser = rough_denoiser(base)
    x, sigma = torch.randn(6, 4, dtype=torch.float64), torch.full((6, 1), 0.3, dtype=torch.float64)
    for value, divergence in (
        score_and_divergence(denoiser.score, x, sigma),
        denoiser_field(denoiser)(x, sigma),
    ):
        torch.testing.assert_close(value, denoiser.score(x, 0.3))
        for row in range(6):
            jacobian = torch.autograd.functional.jacobian(lambda z: denoiser.score(z[None], 0.3)[0], x[row])
            torch.testing.assert_close(divergence[row], jacobian.trace())


def test_a_mixtures_divergence_is_its_closed_form():
    mixture = Mixture.random(5, 3, seed=2)
    x, sigma = mixture.sample(40, seed=3), torch.linspace(0.1, 3, 40, dtype=torch.float64)[:, None]
    for found, closed in zip(
        exact_field(mixture.score)(x, sigma), mixture.score_and_divergence(x, sigma), strict=True
    ):
        torch.testing.assert_close(found, closed)


def test_random_probes_are_right_in_the_mean_and_repeat_by_seed():
    mixture = Mixture.random(5, 3, seed=2)
    x, sigma = mixture.sample(4, seed=3), torch.full((4, 1), 0.5, dtype=torch.float64)
    _, exact = mixture.score_and_divergence(x, sigma)
    _, many = hutchinson_field(mixture.score, probes=4_000, seed=1)(x, sigma)
    torch.testing.assert_close(many, exact, rtol=0.03, atol=0.05)
    once, again = (hutchinson_field(mixture.score, seed=5)(x, sigma)[1] for _ in range(2))
    assert torch.equal(once, again)
    assert not torch.equal(once, hutchinson_field(mixture.score, seed=6)(x, sigma)[1])


def test_the_sampled_field_is_right_in_the_mean_and_exact_about_its_base():
    base = Mixture.random(4, 3, seed=2, spread=1.0)
    denoiser = rough_denoiser(base)
    x = base.sample(40, seed=3)
    sigma = torch.full((len(x), 1), 0.4, dtype=torch.float64)
    score, divergence = denoiser.score_and_divergence(x, sigma)
    field = sampled_field(denoiser, torch.Generator().manual_seed(1))
    draws = torch.stack([field(x, sigma)[1] for _ in range(600)])
    torch.testing.assert_close(field(x, sigma)[0], score)
    error = draws.std(0) / len(draws) ** 0.5
    assert ((draws.mean(0) - divergence).abs() < 5 * error + 1e-9).all()
    assert draws.std(0).mean() > 1e-3, "each draw is random"
    for parameter in denoiser.network.leave.parameters():
        torch.nn.init.zeros_(parameter)
    bare = field(x, sigma)[1]
    torch.testing.assert_close(bare, base.score_and_divergence(x, sigma)[1])
