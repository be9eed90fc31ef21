"""Trials by an Optuna study: allowed ones only, from the user's own study too, several objectives, failures."""

import sys

import optuna
import pytest
from optuna.trial import TrialState

from runs.search import KnownSettings, OptunaSampler, RandomSampler, SearchSpace
from scorenet import ConfigError

KNOWN = KnownSettings.of()


@pytest.fixture(autouse=True)
def _quiet():
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def parse(*dimensions, where=()):
    return SearchSpace.parse(dimensions, where, known=KNOWN)


def bowl(params):
    return -((params["max_exposure"] - 1.3) ** 2) - (params["cooldown"] - 7) ** 2 / 100


SPACE = ("max_exposure=0..2", "cooldown=0..24")


def climb(sampler, count):
    found = []
    for _ in range(count):
        proposal = sampler.ask()
        found.append(bowl(proposal.params))
        sampler.tell(proposal.number, [found[-1]])
    return found


def test_it_learns_what_a_random_search_does_not():
    wins = 0
    for seed in range(3):
        by_tpe = sum(climb(OptunaSampler(parse(*SPACE), seed=seed), 40)[20:])
        by_chance = sum(climb(RandomSampler(parse(*SPACE), seed=seed), 40)[20:])
        wins += by_tpe > by_chance
    assert wins == 3


def test_the_seed_decides():
    first, again, other = (climb(OptunaSampler(parse(*SPACE), seed=seed), 14) for seed in (1, 1, 2))
    assert first == again != other


def test_every_kind_of_value_comes_back_as_itself():
    space = parse(
        'regimes=[],["calm", 2]',
        "target_volatility=none,0.2",
        "signal=state,forward",
        "funding=true,false",
        "cooldown=1..50,log",
        "taker=1e-5..1e-2,log",
    )
    sampler = OptunaSampler(space, seed=0)
    found = [sampler.ask().params for _ in range(30)]
    assert {p["regimes"] for p in found} == {(), ("calm", 2)}
    assert {p["target_volatility"] for p in found} == {None, 0.2}
    assert {p["signal"] for p in found} == {"state", "forward"}
    assert {p["funding"] for p in found} == {True, False}
    assert all(type(p["cooldown"]) is int and 1 <= p["cooldown"] <= 50 for p in found)
    assert all(1e-5 <= p["taker"] <= 1e-2 for p in found)
    assert list(found[0]) == list(space.dimensions)


def test_only_allowed_proposals_are_trials_even_if_the_study_never_finds_one():
    space = parse("cooldown=0..5000", where=["cooldown == 4321 or cooldown == 4322"])
    sampler = OptunaSampler(space, seed=0)
    proposal = sampler.ask()
    assert proposal.params["cooldown"] in (4321, 4322)
    refused = [t for t in sampler.study.trials if t.state == TrialState.PRUNED]
    assert len(refused) == proposal.number == 20
    assert all(t.user_attrs == {"refused": "a constraint"} for t in refused)


def test_a_failed_trial_is_one_in_the_study():
    sampler = OptunaSampler(parse(*SPACE))
    for values in ([1.0], None, [float("nan")]):
        sampler.tell(sampler.ask().number, values)
    assert [t.state for t in sampler.study.trials] == [TrialState.COMPLETE, TrialState.FAIL, TrialState.FAIL]


def test_a_study_of_the_user_goes_on_with_its_own_sampler():
    grid = optuna.samplers.RandomSampler(seed=5)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=grid)
    sampler = OptunaSampler(parse(*SPACE), directions=("maximize", "minimize"), study=study)
    for _ in range(5):
        proposal = sampler.ask()
        sampler.tell(proposal.number, [bowl(proposal.params), proposal.params["cooldown"]])
    assert sampler.study is study
    assert study.sampler is grid
    assert len(study.trials) == 5
    assert study.best_trials


@pytest.mark.parametrize("directions", [(), ("up",)])
def test_unknown_directions_are_errors(directions):
    with pytest.raises(ConfigError, match="expected maximize or minimize"):
        OptunaSampler(parse(*SPACE), directions=directions)


def test_a_study_that_goes_the_other_way_is_an_error():
    with pytest.raises(ConfigError, match="expected the directions maximize, found minimize"):
        OptunaSampler(parse(*SPACE), study=optuna.create_study())


def test_without_optuna_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'scorenet\[optimize\]'"):
        OptunaSampler(parse(*SPACE))
