"""Splits of bars into training and test parts that share no bar: walk-forward and combinatorial purged.

Purge is the number of bars that a row's target reaches forward (the horizon), embargo the number that its features look
back (the lookback). A training row and a test row that are more than purge + embargo bars apart share no bar, whichever
comes first.

References:
    Advances in Financial Machine Learning (Lopez de Prado, 2018): ch. 7, purging and embargo; ch. 12, combinatorial
    purged cross-validation and its paths.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.typing import NDArray

from .trials import SelectionError

__all__ = ["Fold", "combinatorial_paths", "combinatorial_splits", "walk_forward_splits"]

Bars = NDArray[np.int64]
_MOST_SPLITS = 100_000


@dataclass(frozen=True, eq=False)
class Fold:
    """Bar numbers of the training and the test part, both increasing.

    Attributes:
        validation: bars between the two, on which parameters are chosen; empty unless asked for.
    """

    train: Bars
    test: Bars
    validation: Bars


def walk_forward_splits(
    bars: int,
    *,
    train: int,
    test: int,
    validation: int = 0,
    purge: int = 0,
    embargo: int = 0,
    expanding: bool = False,
) -> Iterator[Fold]:
    """Yield the folds of a walk-forward over `bars` bars; all lengths are in bars.

    Test parts follow each other without a gap up to the last bar, where the last may be shorter; the first begins
    where enough bars are before it. The gap of purge + embargo bars is taken from the bars before each part.
    `expanding` starts all training parts at bar 0; otherwise each has `train` bars.

    Raises:
        SelectionError: a length is impossible, or there are too few bars for one fold.
    """
    _check_lengths(train=(train, 1), test=(test, 1), validation=(validation, 0))
    gap = _gap(purge, embargo)
    first = train + gap + (validation + gap if validation else 0)
    if bars <= first:
        raise SelectionError(
            f"a fold needs {first} bars before its first test bar (train {train}, validation {validation}, gap {gap}), "
            f"found {bars} bars in all"
        )
    return _walk(bars, first, test, validation, gap, 0 if expanding else train)


def _walk(bars: int, first: int, test: int, validation: int, gap: int, train: int) -> Iterator[Fold]:
    for start in range(first, bars, test):
        chosen = start - gap - validation
        end = chosen - gap if validation else start - gap
        begin = end - train if train else 0
        yield Fold(
            np.arange(begin, end),
            np.arange(start, min(start + test, bars)),
            np.arange(chosen, chosen + validation),
        )


def combinatorial_splits(
    bars: int, *, groups: int, test_groups: int, purge: int = 0, embargo: int = 0
) -> Iterator[Fold]:
    """Yield the C(groups, test_groups) splits of `bars` bars in which each choice of groups is the test part once.

    Training bars within purge + embargo bars of a test bar are left out, on both sides.

    Raises:
        SelectionError: a number is impossible, a split would have no training bar, or there are over 100,000 splits.
    """
    gap = _gap(purge, embargo)
    edges = _edges(bars, groups, test_groups)
    return _combinations(edges, test_groups, gap)


def _combinations(edges: Bars, test_groups: int, gap: int) -> Iterator[Fold]:
    bars = int(edges[-1])
    for chosen in itertools.combinations(range(len(edges) - 1), test_groups):
        tested, near = np.zeros(bars, dtype=bool), np.zeros(bars, dtype=bool)
        for group in chosen:
            low, high = int(edges[group]), int(edges[group + 1])
            tested[low:high] = True
            near[max(0, low - gap) : high + gap] = True
        train = np.flatnonzero(~near)
        if not len(train):
            raise SelectionError(
                f"test groups {chosen} leave no training bar: with a gap of {gap} bars, use fewer groups or more bars"
            )
        yield Fold(train, np.flatnonzero(tested), np.arange(0))


def combinatorial_paths(groups: int, test_groups: int) -> NDArray[np.int64]:
    """Return [paths, groups]: the number of the split whose test part gives each group of each path.

    There are C(groups, test_groups) test_groups / groups paths; each covers all bars once, out of sample.

    Raises:
        SelectionError: a number is impossible, or there are over 100,000 splits.
    """
    _edges(groups, groups, test_groups)
    found: list[list[int]] = [[] for _ in range(groups)]
    for number, chosen in enumerate(itertools.combinations(range(groups), test_groups)):
        for group in chosen:
            found[group].append(number)
    return np.array(found, dtype=np.int64).T


def _edges(bars: int, groups: int, test_groups: int) -> Bars:
    if not 2 <= groups <= bars:
        raise SelectionError(f"groups: expected from 2 to the number of bars ({bars}), found {groups!r}")
    if not 1 <= test_groups < groups:
        raise SelectionError(
            f"test_groups: expected from 1 to groups - 1 = {groups - 1}, found {test_groups!r}"
        )
    if comb(groups, test_groups) > _MOST_SPLITS:
        raise SelectionError(
            f"{test_groups} of {groups} groups are {comb(groups, test_groups):,} splits; expected at most "
            f"{_MOST_SPLITS:,}: use fewer groups"
        )
    return np.linspace(0, bars, groups + 1).astype(np.int64)


def _gap(purge: int, embargo: int) -> int:
    _check_lengths(purge=(purge, 0), embargo=(embargo, 0))
    return purge + embargo


def _check_lengths(**lengths: tuple[int, int]) -> None:
    for name, (value, least) in lengths.items():
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise SelectionError(
                f"{name}: expected a whole number of bars, at least {least}, found {value!r}"
            )
