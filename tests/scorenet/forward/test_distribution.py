"""p(y | x): closed forms of the mixture, Tweedie's limit, and recovery of a known conditional density."""

import math

import numpy as np
import pytest
import torch

from scorenet.config import ForwardConfig
from scorenet.forward.distribution import ForwardReturn, forward_target
from scorenet.forward.net import ForwardNet
from scorenet.forward.training import fit_forward_net


def mixture(sigma: float = 0.5) -> tuple[ForwardReturn, ForwardNet, torch.Tensor]:
    torch.manual_seed(1)
    net = ForwardNet(3, 8, 2, 4)
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    net = net.double().requires_grad_(False)
    x = torch.randn(20, 3, dtype=torch.float64)
    return ForwardReturn.from_net(net, x, sigma), net, x


def test_the_density_integrates_to_one_and_agrees_with_its_moments():
    coming, _, _ = mixture()
    grid = np.linspace(-150, 150, 60_001)
    density = np.exp(np.stack([coming.log_density(np.full(20, y)) for y in grid]))
    step = grid[1] - grid[0]
    np.testing.assert_allclose(density.sum(0) * step, 1, atol=1e-5)
    np.testing.assert_allclose((density * grid[:, None]).sum(0) * step, coming.mean, atol=2e-4)
    second = (density * grid[:, None] ** 2).sum(0) * step
    np.testing.assert_allclose(np.sqrt(second - coming.mean**2), coming.std, atol=1e-3)
    np.testing.assert_allclose(density[grid > 0].sum(0) * step, coming.p_up, atol=5e-3)


def test_quantile_inverts_the_distribution_function():
    coming, _, _ = mixture()
    for q in (0.01, 0.5, 0.9):
        np.testing.assert_allclose(coming.cdf(coming.quantile(q)), q, atol=1e-9)
    with pytest.raises(ValueError, match="0 < q < 1"):
        coming.quantile(1.0)


def test_crps_is_the_integral_of_the_squared_distribution_gap():
    coming, _, _ = mixture()
    outcome = np.linspace(-2, 2, 20)
    grid = np.linspace(-60, 60, 24_001)
    gap = np.stack([(coming.cdf(np.full(20, y)) - (y >= outcome)) ** 2 for y in grid])
    np.testing.assert_allclose(coming.crps(outcome), gap.sum(0) * (grid[1] - grid[0]), atol=5e-3)


def test_cvar_is_the_mean_below_the_quantile():
    coming, _, _ = mixture()
    grid = np.linspace(-150, 150, 15_001)
    density = np.exp(np.stack([coming.log_density(np.full(20, y)) for y in grid]))
    for alpha in (0.01, 0.05, 0.5):
        below = density * (grid[:, None] <= coming.quantile(alpha))
        expected = (below * grid[:, None]).sum(0) / below.sum(0)
        np.testing.assert_allclose(coming.cvar(alpha), expected, atol=0.02)
    everything = coming.cvar(1 - 1e-12)
    np.testing.assert_allclose(everything, coming.mean, atol=1e-6)


def test_pit_is_the_distribution_function_at_the_outcome():
    coming, _, _ = mixture()
    np.testing.assert_array_equal(coming.pit(coming.mean), coming.cdf(coming.mean))


def test_the_score_is_the_slope_of_the_noised_log_density_of_each_member():
    coming, net, x = mixture(sigma=0.8)
    weights, means, widths = (part.numpy() for part in net(x))

    def noised(y: float) -> np.ndarray:
        spread = np.sqrt(widths**2 + 0.8**2)
        return np.log((np.exp(weights) / spread * np.exp(-0.5 * ((y - means) / spread) ** 2)).sum(-1))

    slope = (noised(1e-5) - noised(-1e-5)) / 2e-5
    np.testing.assert_allclose(coming.member_scores, slope, atol=1e-8)
    np.testing.assert_allclose(coming.score, slope.mean(0), atol=1e-8)


def test_at_large_sigma_the_score_is_the_mean_over_sigma_squared():
    coming, _, _ = mixture(sigma=300.0)
    np.testing.assert_allclose(coming.score * 300.0**2, coming.mean, atol=1e-3)


def test_target_is_the_return_ahead_in_its_own_volatility():
    close = np.array([100.0, 110.0, 121.0, 133.1])
    y = forward_target(close, np.full(4, 0.05), 2)
    assert y[:2] == pytest.approx(2 * math.log(1.1) / (0.05 * math.sqrt(2)))
    assert np.isnan(y[2:]).all()
    assert np.isnan(forward_target(close, np.full(4, 0.05), 4)).all()


@pytest.fixture(scope="module")
def learned() -> tuple[ForwardNet, torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    x = torch.randn(12_000, 3, generator=g)
    y = 0.5 * x[:, 0] + (0.5 * x[:, 1]).exp() * torch.randn(12_000, generator=g)
    config = ForwardConfig(
        hidden=32,
        members=2,
        steps=600,
        batch_size=512,
        learning_rate=3e-3,
        weight_decay=0.01,
        feature_noise=0.0,
    )
    net, _ = fit_forward_net(x[:10_000], y[:10_000], x[10_000:], y[10_000:], config, seed=0, progress=False)
    return net.double().requires_grad_(False), x[10_000:].double()


def test_score_matching_recovers_a_conditional_density(learned):
    net, x = learned
    coming = ForwardReturn.from_net(net, x, 4.0)
    truth = 0.5 * x[:, 0].numpy()
    width = np.exp(0.5 * x[:, 1].numpy())
    assert np.sqrt(np.mean((coming.mean - truth) ** 2)) < 0.12
    assert np.median(np.abs(coming.std / width - 1)) < 0.12
    assert np.corrcoef(coming.score, truth)[0, 1] > 0.97


def test_probability_integral_transform_is_uniform_on_the_true_density(learned):
    net, x = learned
    g = torch.Generator().manual_seed(7)
    y = 0.5 * x[:, 0] + (0.5 * x[:, 1]).exp() * torch.randn(len(x), generator=g).double()
    pit = ForwardReturn.from_net(net, x, 4.0).cdf(y.numpy())
    histogram = np.histogram(pit, bins=10, range=(0, 1))[0] / len(pit)
    assert np.abs(histogram - 0.1).max() < 0.04


def test_a_shift_that_fails_on_held_out_rows_keeps_its_sign_and_loses_its_size():
    g = torch.Generator().manual_seed(3)
    x = torch.randn(6_000, 2, generator=g)
    noise = torch.randn(6_000, generator=g)
    known, opposite = 0.5 * x[:, 0] + noise, -0.5 * x[:, 0] + noise
    config = ForwardConfig(
        hidden=16, members=2, scale_steps=60, steps=150, batch_size=256, learning_rate=3e-3, feature_noise=0.0
    )
    shrinkage = {}
    for name, held in (("same distribution", known), ("opposite distribution", opposite)):
        net, _ = fit_forward_net(
            x[:4_000], known[:4_000], x[4_000:], held[4_000:], config, seed=0, overlap=1, progress=False
        )
        shrinkage[name] = float(net.belief)
    assert shrinkage["same distribution"] > 0.8
    assert shrinkage["opposite distribution"] == pytest.approx(0.05)


def test_only_marked_columns_set_the_scale():
    net = ForwardNet(3, 8, 2, 4)
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    net.scale_columns.copy_(torch.tensor([0.0, 1.0, 0.0]))
    x = torch.randn(5, 3)
    moved = x + torch.tensor([1.0, 0.0, -2.0])
    torch.testing.assert_close(net.log_scale(x), net.log_scale(moved))
    assert not torch.allclose(net.log_scale(x), net.log_scale(x + torch.tensor([0.0, 1.0, 0.0])))


def test_the_shape_starts_as_a_student_t_of_mean_zero():
    net = ForwardNet(2, 8, 1, 8).double().requires_grad_(False)
    start = ForwardReturn.from_net(net, torch.zeros(1, 2, dtype=torch.float64), 4.0)
    assert start.mean == pytest.approx(0.0, abs=1e-7)
    student = torch.distributions.StudentT(torch.tensor(4.0))
    for y in (0.0, 2.0, 5.0):
        truth = float(student.log_prob(torch.tensor(y)))
        assert start.log_density(np.array([y]))[0] == pytest.approx(truth, abs=0.25)
