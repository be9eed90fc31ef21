"""A network whose gain over the mixture is inside its own error is left out; one whose gain is beyond it is kept."""

from dataclasses import replace

import pytest
import torch

from scorenet.config import NoiseConfig, StateConfig
from scorenet.score import fit as module
from scorenet.score.fit import build_denoiser, fit_base, fit_denoiser
from scorenet.score.mixture import Mixture
from scorenet.score.networks.ensemble import Ensemble
from scorenet.score.training import TrainingLog, seeded

NOISE = NoiseConfig()
CONFIG = StateConfig(hidden=8, blocks=1, steps=2, batch_size=16, max_components=2)


def trained(monkeypatch, gains, *, best_step=7, base="mixture", config=CONFIG):
    """Train with a loop that moves every weight, and with held-out gains that are given."""

    def fit(net, loss, validate, recipe, **_):
        validate(net)
        for parameter in net.parameters():
            torch.nn.init.constant_(parameter, 0.1)
        validate(net)
        return TrainingLog(best_step=best_step)

    class Gains:
        def __init__(self, held, noise, *, seed):
            self.losses = iter([torch.tensor(gains) + 5.0, torch.full((len(gains),), 5.0)])

        def measure(self, net):
            by_row = next(self.losses)
            return float(by_row.mean()), by_row

    monkeypatch.setattr(module, "fit", fit)
    monkeypatch.setattr(module, "FrozenNoise", Gains)
    x = Mixture.random(3, 1, seed=1).sample(80, seed=2).float()
    mixture = Mixture.gaussian(x.double()) if base else None
    denoiser, log = fit_denoiser(x, x, config, NOISE, base=mixture, seed=0, progress=False)
    return denoiser, log, bool(denoiser.correction(x, 1.0).any())


@pytest.mark.parametrize(
    ("gains", "kept"),
    [
        ([3.0, -1.0], False),  # mean 1, error 2 / sqrt 2
        ([3.0, 1.0], True),  # mean 2, error 1 / sqrt 2
        ([1.5, -0.5, 1.5, -0.5], False),  # mean 0.5, error 1 / sqrt 4: as large
        ([2.0, 0.0, 2.0, 0.0], True),  # mean 1, error 1 / sqrt 4
        ([-3.0, -3.1], False),  # a loss
        ([1.3, -0.1], True),  # mean 0.6, error 0.7 / sqrt 2
        ([1.0], True),  # no error at all
    ],
)
def test_a_gain_inside_its_standard_error_is_chance(monkeypatch, gains, kept):
    _, log, corrects = trained(monkeypatch, gains)
    assert corrects is kept
    assert log.best_step == (7 if kept else 0)


def test_without_a_base_or_without_a_step_nothing_is_compared(monkeypatch):
    _, log, corrects = trained(monkeypatch, [-1.0, -2.0], base=None)
    assert (log.best_step, corrects) == (7, True)
    _, log, corrects = trained(monkeypatch, [-1.0, -2.0], best_step=0)
    assert (log.best_step, corrects) == (0, True)


def test_a_denoiser_comes_back_ready_to_use(monkeypatch):
    denoiser, _, _ = trained(monkeypatch, [3.0, 1.0])
    assert not denoiser.training
    assert next(denoiser.parameters()).device.type == "cpu"


@pytest.mark.parametrize(
    ("most", "sizes"), [(1, [1]), (2, [1, 2]), (4, [1, 2, 4]), (7, [1, 2, 4]), (8, [1, 2, 4, 8])]
)
def test_mixtures_of_powers_of_two_are_tried(monkeypatch, most, sizes):
    seen = {}
    monkeypatch.setattr(module, "fit_mixture", lambda x, held, **options: seen.update(options))
    x = torch.randn(30, 2)
    fit_base(x, x, StateConfig(max_components=most), NOISE, seed=5, seconds=1.5)
    assert seen == {"components": sizes, "sigma": NOISE.sigma_min, "seed": 5, "seconds": 1.5}


def test_without_components_no_mixture_is_tried(monkeypatch):
    monkeypatch.setattr(module, "fit_mixture", lambda *_, **options: pytest.fail("a mixture was fitted"))
    x = torch.randn(30, 2)
    assert fit_base(x, x, StateConfig(max_components=0), NOISE, seed=5) is None


@pytest.mark.parametrize("members", [1, 3])
def test_members_are_trained_from_seeds_of_their_own_and_share_the_time(monkeypatch, members):
    recipes, logs, real = [], [], module.fit

    def watched(net, loss, validate, recipe, **options):
        recipes.append(recipe)
        logs.append(real(net, loss, validate, recipe, **options))
        return logs[-1]

    monkeypatch.setattr(module, "fit", watched)
    config = StateConfig(hidden=8, blocks=1, steps=3, batch_size=16, max_components=0, members=members)
    x = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    denoiser, log = fit_denoiser(x, x, config, NOISE, base=None, seed=0, max_seconds=60.0, progress=False)
    assert log is logs[0]
    assert [recipe.max_seconds for recipe in recipes] == [60.0 / members] * members
    assert {(recipe.steps, recipe.learning_rate, recipe.weight_decay) for recipe in recipes} == {
        (3, config.learning_rate, config.weight_decay)
    }
    assert isinstance(denoiser, Ensemble) == (members > 1)
    assert isinstance(build_denoiser(2, config, NOISE, None), Ensemble) == (members > 1)
    if members > 1:
        assert len(denoiser.members) == members


def test_a_batch_is_never_larger_than_the_rows(monkeypatch):
    sizes = []
    real = module.NoisyBatch.draw
    monkeypatch.setattr(
        module.NoisyBatch, "draw", lambda rows, *rest: sizes.append(len(rows)) or real(rows, *rest)
    )
    x = torch.randn(50, 2)
    for batch, used in ((16, 16), (64, 50)):
        sizes.clear()
        config = StateConfig(hidden=8, blocks=1, steps=2, batch_size=batch, max_components=0)
        fit_denoiser(x, x, config, NOISE, base=None, seed=0, progress=False)
        assert set(sizes) == {used}


def test_a_seed_is_that_of_the_first_member_and_no_other_draws_any_of_its_weights(monkeypatch):
    def no_step(net, loss, validate, recipe, **_):
        return TrainingLog()

    monkeypatch.setattr(module, "fit", no_step)
    x = torch.randn(50, 2)
    config = StateConfig(hidden=8, blocks=1, batch_size=16, max_components=0, members=3)
    drawn = set()
    for seed in (0, 1, 5):
        denoiser, _ = fit_denoiser(x, x, config, NOISE, base=None, seed=seed, progress=False)
        with seeded(seed):
            expected = build_denoiser(2, replace(config, members=1), NOISE, None)
        for a, b in zip(denoiser.members[0].parameters(), expected.parameters(), strict=True):
            assert torch.equal(a, b)
        drawn |= {tuple(next(member.parameters()).flatten().tolist()) for member in denoiser.members}
    assert len(drawn) == 9


def test_the_log_has_ten_checks_after_the_first():
    x = torch.randn(50, 2)
    config = StateConfig(hidden=8, blocks=1, steps=20, batch_size=16, max_components=0)
    _, log = fit_denoiser(x, x, config, NOISE, base=None, seed=0, progress=False)
    assert log.steps == list(range(0, 21, 2))


@pytest.mark.parametrize(("options", "shown"), [({}, True), ({"progress": False}, False)])
def test_progress_is_shown_unless_switched_off(capsys, monkeypatch, options, shown):
    monkeypatch.setattr("scorenet.base.terminal.progress.EVERY_SECONDS", 0.0)
    x = torch.randn(50, 2)
    config = StateConfig(hidden=8, blocks=1, steps=2, batch_size=16, max_components=0)
    fit_denoiser(x, x, config, NOISE, base=None, seed=0, **options)
    assert ("state density" in capsys.readouterr().err) is shown


def test_a_seed_is_given_by_name():
    x = torch.randn(50, 2)
    for call in (
        lambda: fit_base(x, x, CONFIG, NOISE, 5),
        lambda: fit_denoiser(x, x, CONFIG, NOISE, None, 5),
    ):
        with pytest.raises(TypeError, match="positional"):
            call()
