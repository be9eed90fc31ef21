"""The chapter's baselines: their sizes, their loss by hand calculation, and that they learn."""

import math

import pytest
import torch

from scorenet.baselines.chapter import (
    DenoisingScoreMatchingLoss,
    MultiScaleScoreNetwork,
    ScoreNetwork,
    train_score_network,
)
from scorenet.score.mixture import Mixture


def test_the_levels_fall_from_one_to_a_hundredth():
    sigmas = MultiScaleScoreNetwork(3).sigmas
    assert len(sigmas) == 10
    assert float(sigmas[0]) == pytest.approx(1.0)
    assert float(sigmas[-1]) == pytest.approx(0.01)
    ratios = sigmas[1:] / sigmas[:-1]
    torch.testing.assert_close(ratios, torch.full((9,), 0.01 ** (1 / 9)))


def test_the_networks_have_the_chapters_sizes():
    # Counted by hand from its layers: hidden 128, four blocks of a fourfold width.
    block = 2 * 128 + 128 * 512 + 512 + 512 * 128 + 128
    multi = MultiScaleScoreNetwork(10)
    expected = 10 * 128 + 128 + 10 * 128 + 128 * 128 + 128 + 4 * block + 128 * 10 + 10
    assert sum(p.numel() for p in multi.parameters()) == expected
    single = ScoreNetwork(10)
    leave = 2 * 128 + 128 * 128 + 128 + 128 * 10 + 10
    assert sum(p.numel() for p in single.parameters()) == 10 * 128 + 3 * 128 + 4 * block + leave
    assert single(torch.zeros(7, 10)).shape == (7, 10)


def test_a_level_is_found_by_its_sigma():
    torch.manual_seed(0)
    net, x = MultiScaleScoreNetwork(3).eval(), torch.randn(4, 3)
    for number in (0, 4, 9):
        asked = float(net.sigmas[number]) * 1.1
        torch.testing.assert_close(net.score(x, asked), net(x, torch.full((4,), number)))
    mixed = net.score(x, net.sigmas[torch.tensor([0, 4, 9, 9])][:, None])
    torch.testing.assert_close(mixed, net(x, torch.tensor([0, 4, 9, 9])))


def test_the_loss_is_the_chapters():
    torch.manual_seed(0)
    net, x = MultiScaleScoreNetwork(3).eval(), torch.randn(50, 3)
    torch.manual_seed(1)
    found = DenoisingScoreMatchingLoss(net)(x).detach()
    net.requires_grad_(False)
    torch.manual_seed(1)
    levels = torch.randint(0, 10, (50,))
    noise = torch.randn_like(x)
    total = 0.0
    for row in range(50):
        sigma = net.sigmas[levels[row]]
        score = net(x[row : row + 1] + sigma * noise[row], levels[row : row + 1])[0]
        total += float(sigma**2 * (score + noise[row] / sigma).square().sum())
    assert float(found) == pytest.approx(total / 50, rel=1e-5)


def test_its_loop_learns_and_keeps_the_best_weights():
    target = Mixture.random(2, 2, seed=1)
    x, held = target.sample(512, seed=2).float(), target.sample(256, seed=3).float()
    torch.manual_seed(0)
    net = MultiScaleScoreNetwork(2, hidden_dim=32, num_layers=1)
    before = net.score(held, 1.0).detach()
    trained = train_score_network(net, x, held, epochs=12, batch_size=64)
    assert trained is net
    assert not trained.training
    exact = target.score(held.double(), 1.0).float()

    def error(found):
        return float((found - exact).square().sum() / exact.square().sum())

    with torch.no_grad():
        assert error(trained.score(held, 1.0)) < 0.5 * error(before)
    assert math.isfinite(error(before))
