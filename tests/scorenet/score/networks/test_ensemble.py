"""An ensemble is the mean of its members, as a score and as a denoiser."""

import pytest
import torch

from scorenet.score.denoiser import Denoiser
from scorenet.score.mixture import Mixture
from scorenet.score.networks import Ensemble, NoiseConditionalMlp


def member(seed: int) -> Denoiser:
    torch.manual_seed(seed)
    network = NoiseConditionalMlp(3, hidden=8, blocks=1)
    torch.nn.init.normal_(network.leave.weight)
    return Denoiser(network, Mixture.random(3, 2, seed)).double().requires_grad_(False)


def test_scores_and_denoised_states_are_means_of_one_another():
    members = [member(seed) for seed in range(3)]
    ensemble, x = Ensemble(members), torch.randn(20, 3, dtype=torch.float64)
    torch.testing.assert_close(ensemble.score(x, 0.4), sum(m.score(x, 0.4) for m in members) / 3)
    torch.testing.assert_close(ensemble(x, 0.4), x + 0.4**2 * ensemble.score(x, 0.4))
    torch.testing.assert_close(
        ensemble.disagreement(x, 0.4), torch.stack([m.score(x, 0.4) for m in members]).std(0, correction=0)
    )


def test_gaussian_experts_multiply_to_a_gaussian():
    # Equal-weight product of N(a, 1) and N(b, 1) is N((a + b) / 2, 1): its score is -(x - (a + b) / 2).
    def gaussian(mean):
        target = Mixture(
            torch.ones(1).double(), torch.full((1, 2), mean).double(), torch.eye(2).double()[None]
        )
        return Denoiser(NoiseConditionalMlp(2, hidden=4, blocks=0), target).double()

    x = torch.randn(10, 2, dtype=torch.float64)
    found = Ensemble([gaussian(1.0), gaussian(-3.0)]).score(x, 1e-6)
    torch.testing.assert_close(found, -(x + 1.0))


def test_one_member_agrees_with_itself_and_none_is_refused():
    assert float(Ensemble([member(0)]).disagreement(torch.randn(5, 3).double(), 0.4).abs().max()) == 0
    with pytest.raises(ValueError, match="at least one"):
        Ensemble([])
