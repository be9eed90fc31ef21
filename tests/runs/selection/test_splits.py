"""Splits of time: no training bar near a test bar, every bar tested, combinatorial paths that cover all bars."""

import itertools
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runs.selection import SelectionError, combinatorial_paths, combinatorial_splits, walk_forward_splits


def distance(train, test):
    """The smallest |training bar - test bar|."""
    place = np.searchsorted(train, test)
    left = test - train[np.maximum(place - 1, 0)]
    right = train[np.minimum(place, len(train) - 1)] - test
    return min(np.where(place > 0, left, np.inf).min(), np.where(place < len(train), right, np.inf).min())


@settings(max_examples=60, deadline=None)
@given(
    bars=st.integers(2, 300),
    train=st.integers(1, 60),
    test=st.integers(1, 40),
    validation=st.integers(0, 20),
    purge=st.integers(0, 12),
    embargo=st.integers(0, 12),
    expanding=st.booleans(),
)
def test_walk_forward(bars, train, test, validation, purge, embargo, expanding):
    gap = purge + embargo
    first = train + gap + (validation + gap if validation else 0)
    lengths = {"train": train, "test": test, "validation": validation, "purge": purge, "embargo": embargo}
    if bars <= first:
        with pytest.raises(SelectionError, match=f"needs {first} bars"):
            walk_forward_splits(bars, **lengths, expanding=expanding)
        return
    folds = list(walk_forward_splits(bars, **lengths, expanding=expanding))
    assert np.array_equal(np.concatenate([fold.test for fold in folds]), np.arange(first, bars))
    for number, fold in enumerate(folds):
        parts = [part for part in (fold.train, fold.validation, fold.test) if len(part)]
        assert all(later[0] - earlier[-1] == gap + 1 for earlier, later in itertools.pairwise(parts))
        assert len(fold.validation) == validation
        assert len(fold.train) == (train + number * test if expanding else train)
        assert fold.train[0] == (0 if expanding else number * test)


@settings(max_examples=60, deadline=None)
@given(
    bars=st.integers(2, 200),
    groups=st.integers(2, 8),
    test_groups=st.integers(1, 7),
    purge=st.integers(0, 6),
    embargo=st.integers(0, 6),
)
def test_combinatorial_purged(bars, groups, test_groups, purge, embargo):
    try:
        folds = list(
            combinatorial_splits(bars, groups=groups, test_groups=test_groups, purge=purge, embargo=embargo)
        )
    except SelectionError:
        # Impossible numbers, or a gap that leaves a split without a training bar.
        assert groups > bars or test_groups >= groups or (groups + 1) * (purge + embargo) * 2 + groups > bars
        return
    assert len(folds) == comb(groups, test_groups)
    tested = np.bincount(np.concatenate([fold.test for fold in folds]), minlength=bars)
    assert set(tested) == {comb(groups - 1, test_groups - 1)}
    for fold in folds:
        assert distance(fold.train, fold.test) > purge + embargo
        left_out = np.setdiff1d(np.arange(bars), np.concatenate([fold.train, fold.test]))
        # No bar is left out without need.
        assert all(np.abs(fold.test - bar).min() <= purge + embargo for bar in left_out)


@pytest.mark.parametrize(("groups", "test_groups"), [(6, 2), (4, 1), (5, 3)])
def test_every_path_tests_every_group_once_by_splits_that_hold_it(groups, test_groups):
    chosen = list(itertools.combinations(range(groups), test_groups))
    paths = combinatorial_paths(groups, test_groups)
    assert paths.shape == (comb(groups, test_groups) * test_groups // groups, groups)
    used = [(number, group) for path in paths for group, number in enumerate(path)]
    assert sorted(used) == sorted((n, g) for n, groups_of in enumerate(chosen) for g in groups_of)


def test_the_example_of_the_book():
    # Lopez de Prado (2018), figure 12.1: 6 groups, 2 tested: 15 splits, 5 paths; the first path by hand.
    assert combinatorial_paths(6, 2)[0].tolist() == [0, 0, 1, 2, 3, 4]
    assert len(combinatorial_paths(6, 2)) == 5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: walk_forward_splits(99, train=0, test=5),
            "train: expected a whole number of bars, at least 1",
        ),
        (lambda: walk_forward_splits(99, train=5, test=2.5), "test: expected a whole number"),
        (lambda: walk_forward_splits(99, train=5, test=5, purge=-1), "purge"),
        (lambda: combinatorial_splits(99, groups=1, test_groups=1), "groups"),
        (lambda: combinatorial_splits(99, groups=4, test_groups=4), "test_groups"),
        (lambda: combinatorial_splits(999, groups=40, test_groups=20), "use fewer groups"),
        (lambda: next(combinatorial_splits(20, groups=2, test_groups=1, purge=50)), "leave no training bar"),
        (lambda: combinatorial_paths(3, 0), "test_groups"),
    ],
)
def test_impossible_splits_are_errors_at_the_call(call, message):
    with pytest.raises(SelectionError, match=message):
        call()
