"""Preconditioning and Tweedie: identities that hold for any network."""

import pytest
import torch

from scorenet.score.denoiser import Denoiser, precondition
from scorenet.score.mixture import Mixture
from scorenet.score.networks import NoiseConditionalMlp


@pytest.fixture(params=[None, 3], ids=["standard normal", "mixture"])
def denoiser(request) -> Denoiser:
    torch.manual_seed(0)
    base = None if request.param is None else Mixture.random(5, request.param, seed=1)
    network = NoiseConditionalMlp(5, hidden=16, blocks=2)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return Denoiser(network, base).double()


@pytest.mark.parametrize("sigma", [0.01, 0.3, 1.0, 20.0])
def test_network_input_and_target_have_unit_variance(sigma):
    c = precondition(torch.tensor([[sigma]], dtype=torch.float64))
    assert float(c.c_in) ** 2 * (1 + sigma**2) == pytest.approx(1)
    # Target (x - c_skip (x + sigma e)) / c_out for unit-variance x.
    skip, out = float(c.c_skip), float(c.c_out)
    assert ((1 - skip) ** 2 + skip**2 * sigma**2) / out**2 == pytest.approx(1)


def test_an_untrained_denoiser_is_the_best_one_for_a_standard_normal():
    x = torch.randn(20, 3, dtype=torch.float64)
    fresh = Denoiser(NoiseConditionalMlp(3, hidden=8, blocks=1)).double()
    torch.testing.assert_close(fresh(x, 0.7), x / (1 + 0.7**2))
    torch.testing.assert_close(fresh.score(x, 0.7), -x / (1 + 0.7**2))


def test_an_untrained_denoiser_is_exact_where_its_base_is():
    base = Mixture.random(3, 4, seed=1)
    x = base.sample(20, seed=2, sigma=0.7)
    fresh = Denoiser(NoiseConditionalMlp(3, hidden=8, blocks=1), base).double()
    torch.testing.assert_close(fresh(x, 0.7), base.denoise(x, 0.7))
    torch.testing.assert_close(fresh.score(x, 0.7), base.score(x, 0.7))


def test_a_base_keeps_its_digits_through_single_precision(denoiser):
    x = torch.randn(30, 5, dtype=torch.float64)
    before = denoiser.score(x, 0.3) - denoiser.correction(x, 0.3)
    after = denoiser.float().double()
    assert torch.equal(after.score(x, 0.3) - after.correction(x, 0.3), before)


@pytest.mark.parametrize("sigma", [0.01, 0.5, 10.0])
def test_score_is_tweedies_formula(denoiser, sigma):
    x = torch.randn(30, 5, dtype=torch.float64)
    torch.testing.assert_close(
        denoiser.score(x, sigma), (denoiser(x, sigma) - x) / sigma**2, rtol=1e-6, atol=1e-8
    )


def test_small_noise_leaves_the_state_as_it_is(denoiser):
    x = torch.randn(30, 5, dtype=torch.float64)
    torch.testing.assert_close(denoiser(x, 1e-6), x, atol=1e-4, rtol=0)


def test_a_number_and_a_column_of_sigma_agree(denoiser):
    x = torch.randn(30, 5, dtype=torch.float64)
    column = torch.full((30, 1), 0.4, dtype=torch.float64)
    torch.testing.assert_close(denoiser.score(x, 0.4), denoiser.score(x, column), rtol=0, atol=0)
