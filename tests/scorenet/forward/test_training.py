"""The parts of the forward training: the loss in closed form, the blocks, and the factor that shrinks a shift."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
import torch
from scipy import stats

from scorenet.config import ForwardConfig
from scorenet.errors import Diverged
from scorenet.forward import training
from scorenet.forward.distribution import ForwardReturn
from scorenet.forward.training import (
    block_pools,
    fit_forward_net,
    pair_loss,
    refit_forward_net,
    shrinkage_factor,
)
from scorenet.score.training import Recipe, TrainingLog


class Line:
    """A net of two members whose shifts average to x and whose scale is one number."""

    def __init__(self, scale=1.0):
        self.scale = scale

    def log_scale(self, x):
        return torch.full((2, len(x), 1), math.log(self.scale))

    def shift(self, x):
        return torch.stack([0.5 * x, 1.5 * x])


def shrinkage(shift, y, overlap=1, scale=1.0):
    x = torch.tensor(shift, dtype=torch.float64)[:, None]
    return shrinkage_factor(Line(scale), x, torch.tensor(y, dtype=torch.float64), overlap)


@pytest.mark.parametrize(("slope", "kept"), [(0.5, 0.5), (0.9, 0.9), (2.0, 1.0), (0.01, 0.05), (-1.0, 0.05)])
def test_a_slope_without_error_is_the_factor_between_a_little_and_all(slope, kept):
    shift = np.array([1.0, -2.0, 0.5, 3.0, -1.0, 0.2])
    assert shrinkage(shift, slope * shift) == pytest.approx(kept)
    assert shrinkage(shift, slope * 2.5 * shift, scale=2.5) == pytest.approx(kept)


def test_a_net_without_a_shift_keeps_a_small_factor():
    assert shrinkage(np.zeros(6), np.ones(6)) == pytest.approx(0.05)


def test_errors_are_summed_over_blocks_of_twice_the_overlap():
    # Slope 1/2; the errors are +1/2 and -1/2, energy 4. In blocks of two rows they cancel, or add up to 1 and -1.
    assert shrinkage(np.ones(4), [1.0, 0.0, 1.0, 0.0]) == pytest.approx(0.5)
    assert shrinkage(np.ones(4), [1.0, 1.0, 0.0, 0.0]) == pytest.approx(0.5 / (1 + 2 / 16))
    # With an overlap of two there is one block, and errors around the own slope sum to nothing.
    assert shrinkage(np.ones(4), [1.0, 1.0, 0.0, 0.0], overlap=2) == pytest.approx(0.5)
    # More overlap than rows: still one block.
    assert shrinkage(np.ones(4), [1.0, 1.0, 0.0, 0.0], overlap=50) == pytest.approx(0.5)


@pytest.mark.parametrize("copies", [3, 8])
def test_repeated_rows_add_no_evidence(copies):
    rng = np.random.default_rng(0)
    x = rng.standard_normal(60)
    y = 0.6 * x + rng.standard_normal(60)
    again = shrinkage(np.repeat(x, copies), np.repeat(y, copies), overlap=copies)
    assert again == pytest.approx(shrinkage(x, y))
    assert 0.05 < again < 1.0


def test_wide_rows_weigh_less():
    class Uneven(Line):
        def log_scale(self, x):
            return torch.tensor([1.0, 1.0, 10.0, 10.0]).log().expand(2, 4)[..., None]

    # Rows of scale 1 follow the shift in full, those of scale 10 not at all; in units of scale all shifts are 1.
    y = torch.tensor([1.0, 1.0, 0.0, 0.0], dtype=torch.float64)
    x = torch.ones(4, 1, dtype=torch.float64)
    assert shrinkage_factor(Uneven(), x, y, 50) == pytest.approx(0.5)


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
    value = pair_loss(parts, *(torch.tensor([[number]]) for number in (y, sigma, noise)))
    assert value.item() == pytest.approx(loss)


@pytest.mark.parametrize(
    ("rows", "horizon", "share", "block", "blocks"),
    [(1_610, 3, 0.5, 60, 13), (1_600, 24, 0.75, 100, 12), (10, 4, 1.0, 1, 10), (100, 1, 0.001, 6, 1)],
)
def test_a_member_sees_its_share_of_whole_blocks(rows, horizon, share, block, blocks):
    config = ForwardConfig(horizon=horizon, members=3, block_share=share)
    pools = block_pools(rows, config, torch.Generator().manual_seed(0))
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
    pools = block_pools(320, config, torch.Generator().manual_seed(0))
    assert pools.flatten().sort().values.tolist() == list(range(320))


FEW = ForwardConfig(
    horizon=4, hidden=8, members=2, components=3, scale_steps=5, steps=5, batch_size=32, feature_noise=0.0
)
LOW, HIGH = 0.05, 10.0  # noise levels of y, in its own units


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


class Pass(NamedTuple):
    """What one pass hands to the training loop."""

    name: str
    free: set[str]
    loss: Callable
    validate: Callable
    recipe: Recipe


def untrained(monkeypatch, x, y, held_y=None, **changes):
    """Return the net before its first step, and its two passes."""
    passes = []

    def watched(net, loss, validate, recipe, *, name, progress):
        free = {own.split(".")[0] for own, value in net.named_parameters() if value.requires_grad}
        passes.append(Pass(name, free, loss, validate, recipe))
        return TrainingLog(best_step=len(passes))

    monkeypatch.setattr(training, "fit", watched)
    held_y = y if held_y is None else held_y
    held_x = torch.zeros(len(held_y), x.shape[1])
    net, log = fit_forward_net(x, y, held_x, held_y, replace(FEW, **changes), seed=1, progress=False)
    return net, log, *passes


def wide(net, width):
    """Make the density of a net of one component N(0, width^2)."""
    with torch.no_grad():
        net.log_width.fill_(math.log(width))


def seen_by(part, loss):
    """Return the inputs of a part of the net while a loss is computed."""
    seen = []
    hook = part.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    loss()
    hook.remove()
    return seen[0]


@pytest.mark.parametrize("factor", [0.01, 1.0, 30.0])
def test_the_density_starts_as_a_student_t_of_the_spread_of_the_returns(monkeypatch, factor):
    y = factor * (torch.randn(400, generator=torch.Generator().manual_seed(2)) + 0.2)
    net, *_ = untrained(monkeypatch, torch.zeros(400, 3), y, components=64)
    with torch.no_grad():
        net.offset.zero_()  # members of the mixture stand apart at the start; here the widths alone are asked
    x = torch.zeros(1, 3, dtype=torch.float64)
    density = ForwardReturn.from_net(net.double().requires_grad_(False), x, 4.0)
    unit = float(y.abs().median()) / 0.6745  # the standard deviation of a normal of this median
    # A Student t of 4 degrees of freedom is a mixture over widths. 64 widths from e^-1.1 to e^1.9 round each to the
    # nearest of a grid, by a factor within e^(+-0.5 * 3 / 63); less than 0.1 % of the weight lies beyond the ends.
    for q in (0.75, 0.9):
        assert density.quantile(q)[0] == pytest.approx(unit * stats.t(4).ppf(q), rel=0.025)


def test_returns_that_are_all_zero_leave_a_finite_density():
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
    monkeypatch.setattr(training, "shrinkage_factor", lambda net, x, y, overlap: seen.append(overlap) or 0.25)
    net, _ = trained()
    trained(overlap=12)
    assert seen == [4, 12]
    assert float(net.belief) == 0.25


def test_each_pass_moves_its_own_parameters(monkeypatch):
    y = torch.randn(200, generator=torch.Generator().manual_seed(3))
    net, log, scale, shift = untrained(monkeypatch, torch.zeros(200, 3), y)
    assert scale.free == {"offset", "log_width", "logit", "slope", "scale"}
    assert shift.free == {"shift"}
    assert log.best_step == 2, "the log is that of the shift"
    assert (scale.recipe.steps, scale.recipe.learning_rate) == (FEW.scale_steps, FEW.scale_learning_rate)
    assert (shift.recipe.steps, shift.recipe.learning_rate) == (FEW.steps, FEW.learning_rate)
    assert scale.recipe.weight_decay == shift.recipe.weight_decay == FEW.weight_decay
    # What is kept is a running mean of the weights: between the old mean and the new weights, close to the old.
    assert 0.9 < scale.recipe.ema < 1
    assert 0.9 < shift.recipe.ema < 1
    # |sigma score + noise|^2 of a density that is about right lies below that of no score at all, 1.
    assert 0 < scale.loss().item() < 1
    assert 0 < scale.validate(net) < 1
    assert shift.validate(net) > 1e6, "a zero shift is no candidate"


def test_the_scale_weighs_all_levels_alike(monkeypatch):
    rows, width = 40_000, 2.0
    net, _, scale, _ = untrained(
        monkeypatch, torch.zeros(9, 3), torch.zeros(9), batch_size=rows, members=1, components=1
    )
    wide(net, width)
    # Of y = 0 and N(0, w^2) the loss is (w^2 / (w^2 + sigma^2))^2 noise^2. With s = (sigma / w)^2 its mean over
    # ln sigma is the integral of 1 / (2 s (1 + s)^2), which has the closed form below.
    low, high = ((level / width) ** 2 for level in (LOW, HIGH))
    area = 0.5 * (math.log(high / (1 + high) * (1 + low) / low) + 1 / (1 + high) - 1 / (1 + low))
    # noise^4 has the mean 3, and the factor before it is at most 1: five standard errors.
    assert scale.loss().item() == pytest.approx(area / math.log(HIGH / LOW), abs=5 * math.sqrt(3 / rows))


def test_the_shift_weighs_log_normal_levels_by_one_plus_their_square(monkeypatch):
    rows = 40_000
    net, _, _, shift = untrained(
        monkeypatch, torch.zeros(9, 3), torch.zeros(9), batch_size=rows, members=1, components=1
    )
    wide(net, 1e4)  # so wide that its score is 0, and the loss (1 + sigma^2) noise^2
    z = np.linspace(-6, 6, 20_001)
    level = np.exp(1.2 * z).clip(LOW, HIGH)
    share = stats.norm.pdf(z) * (z[1] - z[0])
    mean, square = (share * (1 + level**2)).sum(), (share * (1 + level**2) ** 2).sum()
    assert shift.loss().item() == pytest.approx(mean, abs=5 * math.sqrt((3 * square - mean**2) / rows))


def test_the_shift_sees_noised_rows_and_the_scale_clean_ones(monkeypatch):
    x = torch.full((9, 3), 2.0)
    net, _, _, shift = untrained(monkeypatch, x, torch.zeros(9), batch_size=2_000, feature_noise=0.5)
    noise = seen_by(net.shift, shift.loss) - 2.0
    count = noise.numel()
    assert float(noise.mean()) == pytest.approx(0, abs=5 * 0.5 / math.sqrt(count))
    assert float(noise.std()) == pytest.approx(0.5, abs=5 * 0.5 / math.sqrt(2 * count))
    assert (seen_by(net.scale, shift.loss) == 2.0).all()


def test_held_out_rows_are_thinned_evenly_to_4096(monkeypatch):
    seen = []
    monkeypatch.setattr(training, "pair_loss", lambda parts, y, sigma, noise: seen.append(y) or sigma)
    for count, kept in ((8_191, range(0, 8_191, 2)), (3, range(3))):
        net, _, scale, _ = untrained(
            monkeypatch, torch.zeros(9, 3), torch.ones(9), torch.arange(float(count))
        )
        seen.clear()
        scale.validate(net)
        assert seen[0].tolist() == list(kept)


def test_the_held_out_loss_is_the_weighted_mean_over_twelve_even_levels(monkeypatch):
    net, _, scale, shift = untrained(monkeypatch, torch.zeros(9, 3), torch.ones(9))
    with torch.no_grad():
        net.shift.weights[-1].fill_(1.0)
    monkeypatch.setattr(training, "pair_loss", lambda parts, y, sigma, noise: sigma)
    levels = np.geomspace(LOW, HIGH, 12)
    assert scale.validate(net) == pytest.approx(levels.mean(), rel=1e-5)
    assert shift.validate(net) == pytest.approx((levels * (1 + levels**2)).mean(), rel=1e-5)


def test_a_batch_is_rows_of_the_whole_pool_with_their_own_returns(monkeypatch):
    y = torch.arange(64.0)
    net, _, *passes = untrained(monkeypatch, y[:, None], y)
    seen = []

    def watched(parts, targets, sigma, noise):
        seen.append(targets)
        return pair_loss(parts, targets, sigma, noise)

    monkeypatch.setattr(training, "pair_loss", watched)
    for one in passes:
        seen.clear()
        rows = seen_by(net.scale, one.loss)
        assert torch.equal(rows[..., 0], seen[0])
        # 32 draws from the 32 rows of half the blocks: 20.4 of them are seen on average, standard deviation 1.8.
        assert all(len(member.unique()) > 11 for member in rows)


def test_the_log_of_the_shift_has_forty_checks_after_the_first():
    _, log = trained(replace(FEW, steps=80))
    assert log.steps == list(range(0, 81, 2))


@pytest.mark.parametrize(
    ("setting", "name"), [("scale_learning_rate", "forward scale"), ("learning_rate", "forward shift")]
)
def test_a_loss_that_is_not_finite_says_which_pass_it_was(setting, name):
    with pytest.raises(Diverged, match=f"^{name}: the "):
        trained(replace(FEW, **{setting: 1e30}))


def rows_of(count=200):
    g = torch.Generator().manual_seed(2)
    return torch.randn(count, 3, generator=g), torch.randn(count, generator=g) + 0.2


def test_the_kept_steps_repeat_the_net_on_the_same_rows():
    x, y = rows_of()
    net, log = fit_forward_net(x, y, *rows_of(80), FEW, seed=1, progress=False)
    assert len(log.kept_steps) == 2
    assert log.kept_steps[1] == log.best_step > 0
    again = refit_forward_net(
        x, y, FEW, seed=1, steps=log.kept_steps, belief=float(net.belief), progress=False
    )
    for (name, value), (_, other) in zip(net.state_dict().items(), again.state_dict().items(), strict=True):
        assert torch.equal(value, other), name
    assert all(parameter.requires_grad for parameter in again.parameters())
    half = refit_forward_net(x, y, FEW, seed=1, steps=log.kept_steps, belief=0.5, progress=False)
    assert float(half.belief) == 0.5


def test_rows_are_drawn_by_their_weights(monkeypatch):
    count = 64
    x = torch.arange(float(count))[:, None].expand(count, 3)
    weights = torch.tensor([0.0, 1.0, 3.0, 4.0]).repeat(count // 4)
    config = replace(FEW, horizon=1, batch_size=40_000, block_share=1.0, members=1)
    task = training._Task(x, x[:, 0], config, 0, None, weights)
    drawn = task._batch()[1].long()[0]
    share = torch.bincount(drawn, minlength=count) / config.batch_size
    expected = weights / weights.sum()
    assert float(share[::4].max()) == 0.0, "a row without weight is never drawn"
    error = (expected * (1 - expected) / config.batch_size).sqrt()
    assert bool(((share - expected).abs() <= 5 * error).all())
    other = training._Task(x, x[:, 0], config, 0, None, None)._batch()[1]
    assert float(torch.bincount(other.long()[0]).min()) > 0, "without weights all alike"
