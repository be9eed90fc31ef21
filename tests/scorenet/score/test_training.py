"""The training loop: the same seed gives the same weights, the best check is kept, divergence is an error."""

from dataclasses import replace

import pytest
import torch

from scorenet import ConfigError, Diverged
from scorenet.score.adamw import AdamW
from scorenet.score.networks import Mlp
from scorenet.score.training import Recipe, fit, fit_steps, pick_device, seeded, threads

RECIPE = Recipe(steps=60, learning_rate=1e-2, weight_decay=0.0)


def train(seed: int = 0, validate=None, scale: float = 1.0, recipe: Recipe = RECIPE):
    with seeded(seed) as generator:
        net = Mlp(2, 8, 1)
    x = torch.randn(64, 2, generator=torch.Generator().manual_seed(9))

    def loss():
        pick = torch.randint(64, (16,), generator=generator)
        return scale * (net(x[pick])[0, :, 0] - x[pick].sum(1)).square().mean()

    def held_out(module):
        with torch.no_grad():
            return float((module(x)[0, :, 0] - x.sum(1)).square().mean())

    log = fit(net, loss, validate or held_out, recipe, name="test", progress=False)
    return net, log, held_out


def test_the_same_seed_gives_the_same_weights():
    first, again, other = train(0)[0], train(0)[0], train(1)[0]
    for a, b, c in zip(first.parameters(), again.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
        assert a.numel() == 1 or not torch.equal(a, c)


def test_seeding_leaves_the_callers_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train(0)
    assert torch.equal(torch.rand(3), expected)


def test_it_learns_and_returns_the_weights_that_validated_best():
    net, log, held_out = train()
    assert held_out(net) == min(log.validation) < 0.5 * log.validation[0]
    assert log.steps[log.validation.index(min(log.validation))] == log.best_step


def test_the_best_weights_do_not_follow_the_last_step():
    # A validation that gets worse at every check: the first check must be what is returned.
    checks = iter(range(1, 1000))
    snapshots = []

    def validate(module):
        snapshots.append([p.clone() for p in module.parameters()])
        return float(next(checks))

    net, log, _ = train(validate=validate)
    assert log.best_step == log.steps[0]
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), snapshots[0], strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(net.parameters(), snapshots[-1], strict=True))


def test_training_ends_after_as_many_checks_in_vain_as_patience_allows():
    # The check at step 24 is the lowest; the next two are in vain, and a tie is no progress.
    losses = iter([5.0] * 8 + [4.0, 4.5, 4.0, 1.0])
    _, log, _ = train(validate=lambda _: next(losses), recipe=replace(RECIPE, patience=2))
    assert (log.steps[-1], log.best_step) == (30, 24)


def test_checks_in_the_first_third_do_not_count():
    losses = iter([5.0, *[6.0] * 40])
    _, log, _ = train(validate=lambda _: next(losses), recipe=replace(RECIPE, patience=2))
    assert (log.steps[-1], log.best_step) == (24, 0)  # the third ends at step 20


def test_progress_restores_the_patience_and_none_trains_to_the_end():
    def losses():
        return iter([5.0, 6.0, 4.0, 6.0, 3.0, *[6.0] * 30])

    for patience, checks in ((2, 9), (0, 21)):  # counted from step 20 on: 21 and 24 are in vain
        given = losses()
        _, log, _ = train(
            validate=lambda _, given=given: next(given), recipe=replace(RECIPE, patience=patience)
        )
        assert (len(log.steps), log.best_step) == (checks, 12)


def test_a_non_finite_loss_raises():
    with pytest.raises(Diverged, match=r"the loss became (inf|nan) at step 1"):
        train(scale=float("inf"))
    with pytest.raises(Diverged, match="held-out loss became nan"):
        train(validate=lambda module: float("nan"))


def test_threads_are_restored():
    before = torch.get_num_threads()
    with threads(1):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


def test_a_net_that_only_gets_worse_is_left_as_it_was():
    checks = iter(range(1000))
    net, log, _ = train(validate=lambda module: float(next(checks)))
    with seeded(0):
        fresh = Mlp(2, 8, 1)
    assert log.best_step == log.steps[0] == 0
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), fresh.parameters(), strict=True))


def test_a_time_limit_ends_training_with_the_rate_run_down(monkeypatch):
    # A clock that advances a second at each call: 10 seconds end 1,000 planned steps after ten.
    clock = iter(range(10_000))
    monkeypatch.setattr("scorenet.score.training.time.monotonic", lambda: float(next(clock)))
    rates = []
    original = AdamW.step
    monkeypatch.setattr(
        AdamW, "step", lambda self, rate, clip: (rates.append(rate), original(self, rate, clip))[1]
    )
    _, log, _ = train(recipe=Recipe(steps=1000, learning_rate=1e-2, weight_decay=0.0, max_seconds=10.0))
    assert log.steps[-1] == len(rates) == 10
    assert rates[-1] < 1e-9
    assert log.steps[0] == 0
    assert len(log.steps) == len(log.validation) == len(log.training) == 11


def test_a_device_that_is_not_there_is_refused():
    assert pick_device("cpu").type == "cpu"
    assert pick_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(ConfigError, match="expected auto, cpu or cuda"):
        pick_device("gpu")
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="no GPU"):
            pick_device("cuda")


@pytest.mark.parametrize("checks", [60, 4])
def test_the_steps_that_were_kept_can_be_repeated_without_held_out_rows(checks):
    # Validation is lowest at the middle check: the same steps again give the same averaged weights.
    recipe, seen = replace(RECIPE, checks=checks), []

    def validate(module):
        seen.append(module)
        return abs(len(seen) - checks // 2)

    net, log, _ = train(validate=validate, recipe=recipe)
    assert 0 < log.best_step < RECIPE.steps
    assert log.kept_steps == [log.best_step]
    again = repeated(log.best_step)
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), again.parameters(), strict=True))
    other = repeated(log.best_step + 1)
    assert not all(torch.equal(a, b) for a, b in zip(net.parameters(), other.parameters(), strict=True))


def repeated(steps, scale=1.0):
    """The training of `train`, for a number of steps."""
    with seeded(0) as generator:
        net = Mlp(2, 8, 1)
    x = torch.randn(64, 2, generator=torch.Generator().manual_seed(9))

    def loss():
        pick = torch.randint(64, (16,), generator=generator)
        return scale * (net(x[pick])[0, :, 0] - x[pick].sum(1)).square().mean()

    fit_steps(net, loss, steps, RECIPE, name="test", progress=False)
    return net


def test_no_step_leaves_the_net_as_it_was_and_divergence_is_an_error():
    with seeded(0):
        untrained = Mlp(2, 8, 1)
    still = repeated(0)
    assert all(torch.equal(a, b) for a, b in zip(untrained.parameters(), still.parameters(), strict=True))
    with pytest.raises(Diverged, match="the loss became inf at step 1"):
        repeated(3, scale=float("inf"))
