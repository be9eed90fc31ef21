"""The parts of the forward training: the loss in closed form, the blocks, and how much of a shift is believed."""

import math

import numpy as np
import pytest
import torch

from scorenet.config import ForwardConfig
from scorenet.forward import training
from scorenet.forward.distribution import ForwardReturn
from scorenet.forward.training import fit_forward_net
from scorenet.score.training import TrainingLog


class Line:
    """A net of two members whose shifts average to x and whose scale is one number."""

    def __init__(self, scale=1.0):
        self.scale = scale

    def log_scale(self, x):
        return torch.full((2, len(x), 1), math.log(self.scale))

    def shift(self, x):
        return torch.stack([0.5 * x, 1.5 * x])


def belief(shift, y, overlap=1, scale=1.0):
    x = torch.tensor(shift, dtype=torch.float64)[:, None]
    return training._shrinkage_factor(Line(scale), x, torch.tensor(y, dtype=torch.float64), overlap)


@pytest.mark.parametrize(("slope", "kept"), [(0.5, 0.5), (0.9, 0.9), (2.0, 1.0), (0.01, 0.05), (-1.0, 0.05)])
def test_a_slope_without_error_is_the_factor_between_a_little_and_all(slope, kept):
    shift = np.array([1.0, -2.0, 0.5, 3.0, -1.0, 0.2])
    assert belief(shift, slope * shift) == pytest.approx(kept)
    assert belief(shift, slope * 2.5 * shift, scale=2.5) == pytest.approx(kept)


def test_a_net_without_a_shift_keeps_a_small_factor():
    assert belief(np.zeros(6), np.ones(6)) == pytest.approx(0.05)


def test_errors_are_summed_over_blocks_of_twice_the_overlap():
    # Slope 1/2; the errors are +1/2 and -1/2, energy 4. In blocks of two rows they cancel, or add up to 1 and -1.
    assert belief(np.ones(4), [1.0, 0.0, 1.0, 0.0]) == pytest.approx(0.5)
    assert belief(np.ones(4), [1.0, 1.0, 0.0, 0.0]) == pytest.approx(0.5 / (1 + 2 / 16))
    # With an overlap of two there is one block, and errors around the own slope sum to nothing.
    assert belief(np.ones(4), [1.0, 1.0, 0.0, 0.0], overlap=2) == pytest.approx(0.5)
    # More overlap than rows: still one block.
    assert belief(np.ones(4), [1.0, 1.0, 0.0, 0.0], overlap=50) == pytest.approx(0.5)


@pytest.mark.parametrize("copies", [3, 8])
def test_repeated_rows_add_no_evidence(copies):
    rng = np.random.default_rng(0)
    x = rng.standard_normal(60)
    y = 0.6 * x + rng.standard_normal(60)
    again = belief(np.repeat(x, copies), np.repeat(y, copies), overlap=copies)
    assert again == pytest.approx(belief(x, y))
    assert 0.05 < again < 1.0


def test_wide_rows_weigh_less():
    class Uneven(Line):
        def log_scale(self, x):
            return torch.tensor([1.0, 1.0, 10.0, 10.0]).log().expand(2, 4)[..., None]

    # Rows of scale 1 follow the shift in full, those of scale 10 not at all; in units of scale all shifts are 1.
    y = torch.tensor([1.0, 1.0, 0.0, 0.0], dtype=torch.float64)
    x = torch.ones(4, 1, dtype=torch.float64)
    assert training._shrinkage_factor(Uneven(), x, y, 50) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("y", "width", "sigma", "noise", "loss"),
    [
        # N(0, s2) after noise sigma has the score -y / (s2 + sigma^2).
        (1.0, 1.0, 1.0, 1.0, 0.5 * (0.0**2 + 1.0**2)),
        (2.0, 1.0, 2.0, 0.5, 0.5 * (0.7**2 + 0.9**2)),
        (0.0, 2.0, 1.0, 1.0, 0.8**2),
    ],
)
def test_the_loss_of_a_gaussian_by_hand(y, width, sigma, noise, loss):
    parts = (torch.zeros(1, 1, 1), torch.zeros(1, 1, 1), torch.full((1, 1, 1), width))
    value = training._pair_loss(parts, *(torch.tensor([[number]]) for number in (y, sigma, noise)))
    assert value.item() == pytest.approx(loss)


@pytest.mark.parametrize(
    ("rows", "horizon", "share", "block", "blocks"),
    [(1_610, 3, 0.5, 60, 13), (1_600, 24, 0.75, 100, 12), (10, 4, 1.0, 1, 10), (100, 1, 0.001, 6, 1)],
)
def test_a_member_sees_its_share_of_whole_blocks(rows, horizon, share, block, blocks):
    config = ForwardConfig(horizon=horizon, members=3, block_share=share)
    pools = training._block_pools(rows, config, torch.Generator().manual_seed(0))
    assert pools.shape == (3, block * blocks)
    assert int(pools.min()) >= 0
    assert int(pools.max()) < rows
    for pool in pools:
        assert len(pool.unique()) == len(pool)
        starts = pool.view(blocks, block)[:, 0]
        assert torch.equal(pool.view(blocks, block), starts[:, None] + torch.arange(block))
        assert not (starts % block).any()
    if share < 1 and blocks > 1:
        assert not torch.equal(pools[0].sort().values, pools[1].sort().values)


def test_the_last_whole_block_can_be_drawn():
    config = ForwardConfig(horizon=1, members=1, block_share=1.0)
    pools = training._block_pools(320, config, torch.Generator().manual_seed(0))
    assert pools.flatten().sort().values.tolist() == list(range(320))


FEW = ForwardConfig(
    horizon=4, hidden=8, members=2, components=3, scale_steps=5, steps=5, batch_size=32, feature_noise=0.0
)


def trained(config=FEW, factor=1.0, rows=400, **options):
    g = torch.Generator().manual_seed(2)
    x, y = torch.randn(rows, 3, generator=g), torch.randn(rows, generator=g) + 0.2
    y = factor * y
    return fit_forward_net(
        x[: rows // 2],
        y[: rows // 2],
        x[rows // 2 :],
        y[rows // 2 :],
        config,
        progress=False,
        **{"seed": 1} | options,
    )


def spread(net):
    x = torch.zeros(1, 3, dtype=torch.float64)
    law = ForwardReturn.from_net(net.double().requires_grad_(False), x, 4.0)
    return float(law.quantile(0.75)[0] - law.quantile(0.25)[0])


@pytest.mark.parametrize("factor", [0.01, 1.0, 30.0])
def test_the_density_starts_at_the_spread_of_the_returns(factor):
    # The quartiles of the returns, N(0.2, 1), are 1.35 apart; the law starts a little wider.
    net, _ = trained(factor=factor)
    assert 1.2 < spread(net) / factor < 2.3


def test_returns_that_are_all_zero_leave_a_finite_law():
    net, _ = trained(factor=0.0)
    assert all(bool(torch.isfinite(value).all()) for value in net.state_dict().values())


def test_a_seed_names_the_net_and_columns_may_be_kept_from_the_scale():
    first, again, other = trained()[0], trained()[0], trained(seed=2)[0]
    same = [torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True)]
    assert all(same)
    assert not torch.equal(first.shift.weights[0], other.shift.weights[0])
    marks = torch.tensor([1.0, 0.0, 1.0])
    assert torch.equal(trained(scale_columns=marks)[0].scale_columns, marks)
    assert torch.equal(first.scale_columns, torch.ones(3))
    assert all(parameter.requires_grad for parameter in first.parameters())


def test_the_overlap_is_the_horizon_unless_said(monkeypatch):
    seen = []
    monkeypatch.setattr(
        training, "_shrinkage_factor", lambda net, x, y, overlap: seen.append(overlap) or 0.25
    )
    net, _ = trained()
    trained(overlap=12)
    assert seen == [4, 12]
    assert float(net.belief) == 0.25


def test_each_pass_moves_its_own_parameters(monkeypatch):
    passes = []

    def watched(net, loss, validate, recipe, **_):
        free = {name.split(".")[0] for name, value in net.named_parameters() if value.requires_grad}
        passes.append((free, recipe, loss().item(), validate(net)))
        return TrainingLog(best_step=len(passes))

    monkeypatch.setattr(training, "fit", watched)
    _, log = trained()
    (scale, first, scale_loss, scale_held), (shift, second, shift_loss, shift_held) = passes
    assert (scale, shift) == ({"offset", "log_width", "logit", "slope", "scale"}, {"shift"})
    assert log.best_step == 2, "the log is that of the shift"
    assert (first.steps, first.learning_rate) == (FEW.scale_steps, FEW.scale_learning_rate)
    assert (second.steps, second.learning_rate) == (FEW.steps, FEW.learning_rate)
    assert first.weight_decay == second.weight_decay == FEW.weight_decay
    # |sigma score + noise|^2 of a law that is about right lies below that of no score at all, 1.
    assert 0 < scale_loss < 1
    assert 0 < scale_held < 1
    # The shift weighs large levels by 1 + sigma^2; an untrained one is no candidate.
    assert shift_loss > scale_loss
    assert shift_held > 1e6


def test_held_out_rows_are_thinned_evenly(monkeypatch):
    monkeypatch.setattr(training, "_HELD_ROWS", 5)
    x, y = torch.arange(9.0)[:, None], torch.arange(9.0)
    net = training.ForwardNet(1, 4, 1, 2)
    task = training._Task(net, x, y, x, y, FEW, torch.Generator().manual_seed(0))
    assert task.held_y.tolist() == [0.0, 2.0, 4.0, 6.0, 8.0]
    assert torch.equal(task.held_x[:, 0], task.held_y)
    short = training._Task(net, x, y, x[:3], y[:3], FEW, torch.Generator().manual_seed(0))
    assert short.held_y.tolist() == [0.0, 1.0, 2.0]


def test_the_held_out_loss_is_the_weighted_mean_over_the_levels(monkeypatch):
    x, y = torch.zeros(4, 1), torch.arange(4.0)
    net = training.ForwardNet(1, 4, 1, 2)
    task = training._Task(net, x, y, x, y, FEW, torch.Generator().manual_seed(0))
    monkeypatch.setattr(training, "_pair_loss", lambda parts, held, sigma, noise: sigma)
    levels = np.geomspace(0.05, 10.0, 12)
    assert task._held_out(None, lambda sigma: 1.0) == pytest.approx(levels.mean(), rel=1e-5)
    weighted = (levels * (1 + levels**2)).mean()
    assert task._held_out(None, lambda sigma: 1 + sigma**2) == pytest.approx(weighted, rel=1e-5)


def test_a_batch_is_drawn_from_the_whole_pool():
    x, y = torch.arange(64.0)[:, None], torch.arange(64.0)
    task = training._Task(training.ForwardNet(1, 4, 2, 2), x, y, x, y, FEW, torch.Generator().manual_seed(0))
    rows, targets = task._batch()
    assert torch.equal(rows[..., 0], targets)
    assert len(targets[0].unique()) > 8
