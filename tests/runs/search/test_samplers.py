"""Samplers: every allowed combination, none twice, the same ones for the same seed."""

import itertools
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runs.search import GridSampler, KnownSettings, RandomSampler, SearchSpace, ask_many
from runs.search.samplers import permutation
from scorenet import ConfigError

KNOWN = KnownSettings.of()
SMALL = ("cooldown=0,6,12", "signal=state,forward", "drift_window=100..104")


def parse(*dimensions, where=()):
    return SearchSpace.parse(dimensions, where, known=KNOWN)


def everything(sampler):
    return [proposal.params for proposal in ask_many(sampler, 10_000)]


def test_a_grid_is_the_product_of_its_lists():
    grid = GridSampler(parse(*SMALL))
    expected = itertools.product((0, 6, 12), ("state", "forward"), range(100, 105))
    assert grid.at_most == 30
    proposals = ask_many(grid, 99)
    assert [tuple(p.params.values()) for p in proposals] == list(expected)
    assert [p.number for p in proposals] == list(range(30))
    assert grid.ask() is None


def test_constraints_leave_combinations_out():
    where = ["cooldown < 12 or drift_window == 100"]
    found = everything(GridSampler(parse(*SMALL, where=where)))
    assert len(found) == 22
    assert all(p["cooldown"] < 12 or p["drift_window"] == 100 for p in found)


def test_a_random_search_finds_every_allowed_combination_once():
    space = parse(*SMALL, where=["cooldown < 12 or drift_window == 100"])
    by_grid, by_chance = everything(GridSampler(space)), everything(RandomSampler(space, seed=3))
    assert len(by_chance) == 22
    assert sorted(map(str, by_chance)) == sorted(map(str, by_grid))
    assert by_chance != by_grid


@given(seed=st.integers(0, 2**32), asked=st.integers(1, 30), parts=st.integers(1, 7))
def test_the_seed_decides_and_not_the_size_of_a_batch(seed, asked, parts):
    space = parse_once()
    one, other = RandomSampler(space, seed), RandomSampler(space, seed)
    whole = ask_many(one, asked)
    pieces = [p for _ in range(parts) for p in ask_many(other, -(-asked // parts))][:asked]
    assert whole == pieces
    keys = [str(p.params) for p in whole]
    assert len(set(keys)) == len(keys) == min(asked, 30)


_SPACES = []


def parse_once():
    if not _SPACES:
        _SPACES.append(parse(*SMALL))
    return _SPACES[0]


def test_random_combinations_are_uniform():
    space = parse("cooldown=0,6,12", "signal=state,forward")
    firsts = Counter(str(RandomSampler(space, seed).ask().params) for seed in range(1_200))
    assert len(firsts) == 6
    assert all(140 < count < 260 for count in firsts.values())  # 200 +- 4.6 standard deviations


def test_a_range_of_numbers_has_no_end_and_no_grid():
    space = parse("max_exposure=0.5..2", "cooldown=0,6", where=["max_exposure * 6 > cooldown"])
    sampler = RandomSampler(space, seed=1)
    assert sampler.at_most is None
    found = ask_many(sampler, 500)
    assert len({p.params["max_exposure"] for p in found}) == 500
    assert all(p.params["max_exposure"] * 6 > p.params["cooldown"] for p in found)
    with pytest.raises(
        ConfigError, match=r"max_exposure: a grid needs a list of values, found the range 0\.5\.\.2"
    ):
        GridSampler(space)


@pytest.mark.parametrize("make", [GridSampler, RandomSampler])
def test_a_constraint_that_nothing_fulfils_is_an_error(make):
    sampler = make(parse("cooldown=1,2,3", where=["cooldown > 5"]))
    with pytest.raises(ConfigError, match="none of the 3 combinations fulfils 'cooldown > 5'"):
        sampler.ask()


def test_a_range_in_which_nothing_is_allowed_is_an_error(monkeypatch):
    monkeypatch.setattr("runs.search.samplers._TRIES", 300)
    sampler = RandomSampler(parse("max_exposure=0..2", where=["max_exposure > 2"]))
    with pytest.raises(ConfigError, match="no new combination in 300 draws fulfils 'max_exposure > 2'"):
        sampler.ask()


def test_a_rare_combination_is_found_by_going_through_the_space():
    space = parse("drift_window=1..20000", where=["drift_window == 77"])
    assert everything(RandomSampler(space)) == [{"drift_window": 77}]


def test_telling_changes_nothing():
    space = parse(*SMALL)
    quiet, told = RandomSampler(space, 1), RandomSampler(space, 1)
    for _ in range(10):
        proposal = told.ask()
        assert proposal == quiet.ask()
        told.tell(proposal.number, [1.0])


@given(size=st.integers(1, 60), seed=st.integers(0, 2**32))
def test_permutations_hold_every_number_once(size, seed):
    assert sorted(permutation(size, random.Random(seed))) == list(range(size))


def test_permutations_are_uniform_and_need_no_list():
    counts = Counter(tuple(permutation(3, random.Random(seed))) for seed in range(1_200))
    assert len(counts) == 6
    assert all(140 < count < 260 for count in counts.values())
    assert 0 <= next(permutation(10**18, random.Random(0))) < 10**18
