"""The fast score of a live bar equals the denoiser's score."""

import pytest
import torch

from scorenet.score.denoiser import Denoiser
from scorenet.score.mixture import Mixture
from scorenet.score.networks import NoiseConditionalMlp
from scorenet.score.signal_score import LevelScore


@pytest.mark.parametrize("components", [0, 1, 5])
def test_each_level_is_the_denoisers_own(components):
    torch.manual_seed(0)
    network = NoiseConditionalMlp(4, hidden=16, blocks=2)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    base = Mixture.random(4, components, seed=1) if components else None
    denoiser = Denoiser(network, base).double().requires_grad_(False)
    x, sigmas = 3 * torch.randn(7, 4, dtype=torch.float64), (0.1, 0.5, 8.0)
    found = LevelScore(denoiser, sigmas, 2)(x)
    assert found.shape == (3, 7)
    for row, sigma in zip(found, sigmas, strict=True):
        torch.testing.assert_close(row, denoiser.score(x, sigma)[:, 2], rtol=1e-9, atol=1e-9)


def test_an_unknown_network_is_refused():
    with pytest.raises(TypeError, match="Identity"):
        LevelScore(Denoiser(torch.nn.Identity()), [0.5], 0)
