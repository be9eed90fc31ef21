"""The chapter's sampler computes what its text defines, flaws included."""

import pytest
import torch

from scorenet.baselines.chapter import MultiScaleScoreNetwork
from scorenet.baselines.chapter_sampling import LangevinDynamics


class Point(MultiScaleScoreNetwork):
    """The exact score of data that are all 0, at the chapter's levels."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim, hidden_dim=2, num_layers=0)
        self.calls = 0

    def forward(self, x, noise_level):
        self.calls += 1
        return -x / self.get_sigma(noise_level).unsqueeze(-1) ** 2


def test_it_is_the_chapters_loop():
    net, n = MultiScaleScoreNetwork(2, hidden_dim=8, num_layers=1).eval().requires_grad_(False), 5
    torch.manual_seed(1)
    found = LangevinDynamics(net, n_steps_per_level=3, step_size=0.02).sample(n)
    torch.manual_seed(1)
    x = torch.randn(n, 2)
    for number, sigma in enumerate(net.sigmas):
        for _ in range(3):
            score = net(x, torch.full((n,), number))
            x = x + 0.02 * sigma**2 * score + (2 * 0.02 * sigma**2) ** 0.5 * torch.randn_like(x)
    torch.testing.assert_close(found, x)


def test_it_keeps_the_noise_of_the_last_level_and_too_much_of_the_others():
    net = Point(4)
    torch.manual_seed(0)
    x = LangevinDynamics(net).sample(5_000)
    assert net.calls == 1_000
    # A level multiplies the variance by (1 - 0.01)^200 and adds 2 * 0.01 sigma^2 a step; levels are 0.01^(1/9) apart.
    kept, apart = 0.99**200, 0.01 ** (-2 / 9)
    stationary = 0.02 / (1 - 0.99**2)
    excess = (1 - kept) * stationary / (1 - kept * apart)
    assert kept * apart + (1 - kept) * stationary == pytest.approx(1.24, abs=0.005)
    assert excess == pytest.approx(1.39, abs=0.005)
    assert float(x.var()) / 0.01**2 == pytest.approx(excess, rel=0.03)


def test_denoising_is_a_no_op():
    x = torch.randn(10, 3)
    noisy = x + 0.01 * torch.randn(10, 3)
    moved = LangevinDynamics(MultiScaleScoreNetwork(3).eval()).denoise(noisy, n_steps=20) - noisy
    assert 0 < float(moved.abs().max()) < 1e-3
    at_zero = LangevinDynamics(Point(3)).denoise(noisy, n_steps=20)
    torch.testing.assert_close(at_zero, 0.99**20 * noisy)


def test_a_single_row_is_always_certain_and_a_batch_looks_at_itself():
    dynamics = LangevinDynamics(Point(3))
    x = torch.tensor([[0.5, 1.0, 0.0], [-2.0, 0.1, 0.0]])
    signal, confidence = dynamics.get_trading_signal(x, return_idx=0)
    assert signal.tolist() == [-1.0, 1.0]
    torch.testing.assert_close(confidence, torch.tensor([0.25, 1.0]))
    assert float(dynamics.get_trading_signal(x[:1])[1]) == pytest.approx(1.0)
    assert float(dynamics.get_trading_signal(x, return_idx=1)[1][1]) == pytest.approx(0.1)
