"""Stacks: weights that maximise held-out likelihood, one density and one score at every noise level."""

import torch

from scorenet.score.denoiser import Denoiser
from scorenet.score.divergence import score_and_divergence
from scorenet.score.mixture import Mixture
from scorenet.score.networks import NoiseConditionalMlp
from scorenet.table.kernels import Kernels
from scorenet.table.stacking import NetDensity, Stack, stacking_weights, strongest


def test_weights_find_the_shares_of_a_known_sum():
    truth = Mixture.random(2, 3, seed=0, spread=4.0)
    x = truth.sample(4000, seed=1)
    logs = truth.responsibilities(x).log() - truth.weights.log() + truth.log_density(x)[:, None]
    weights = stacking_weights(logs)
    torch.testing.assert_close(weights, truth.weights, atol=0.03, rtol=0)
    likelihood = (logs + weights.log()).logsumexp(1).mean()
    assert likelihood >= truth.log_density(x).mean()


def test_a_member_that_explains_nothing_is_left_out():
    rows = torch.randn(200, 2, generator=torch.Generator().manual_seed(0)).double()
    good, bad = (Kernels.round(rows + shift, 0.5, torch.zeros(2).double()) for shift in (0.0, 50.0))
    logs = torch.stack([good.log_density(rows, 0.1), bad.log_density(rows, 0.1)], 1)
    stack = strongest([good, bad], stacking_weights(logs, prior=0.1), 1e-3)
    assert stack.members == (good,)
    assert stack.weights.tolist() == [1.0]


def make_stack():
    mixture = Mixture.random(2, 2, seed=3)
    rows = mixture.sample(30, seed=4)
    resolution = torch.zeros(2).double()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = NoiseConditionalMlp(2, 16, 1).double()
    members = (
        Kernels.shaped(mixture, rows, 0.5, resolution),
        Kernels.round(rows, 0.4, resolution),
        NetDensity(Denoiser(net, mixture), 0.05, 20.0),
    )
    return mixture, Stack(members, torch.tensor([0.5, 0.2, 0.3]).double())


def test_the_score_is_the_gradient_of_the_log_density():
    mixture, stack = make_stack()
    x = mixture.sample(20, seed=5)
    for sigma in (0.1, 1.0):
        h, slopes = 1e-5, []
        for axis in torch.eye(2).double() * h:
            slopes.append((stack.log_density(x + axis, sigma) - stack.log_density(x - axis, sigma)) / (2 * h))
        torch.testing.assert_close(stack.score(x, sigma), torch.stack(slopes, 1), rtol=1e-5, atol=1e-5)


def test_the_untrained_net_is_its_mixture_at_any_level():
    mixture, stack = make_stack()
    x = mixture.sample(20, seed=5)
    for sigma in (0.05, 0.5, 15.0):
        torch.testing.assert_close(stack.members[2].log_density(x, sigma), mixture.log_density(x, sigma))
        truth, _ = score_and_divergence(
            lambda rows, level: mixture.score(rows, level), x, torch.full((20, 1), sigma)
        )
        torch.testing.assert_close(stack.members[2].score(x, sigma), truth)


def test_samples_come_from_every_member():
    _, stack = make_stack()
    drawn = stack.sample(6000, torch.Generator().manual_seed(0))
    assert drawn.shape == (6000, 2)
    assert stack.log_density(drawn, 0.05).min() > -30
    again = stack.sample(6000, torch.Generator().manual_seed(0))
    assert torch.equal(drawn, again)
