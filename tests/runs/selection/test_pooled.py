"""A search in parts: the figures of the whole matrix."""

import itertools

import numpy as np
import pytest

from runs.selection import SelectionError, assess, assess_parts
from runs.selection.bootstrap import typical_block_length
from runs.selection.superiority import PooledTest, superior_ability
from runs.selection.trials import Trials


@pytest.fixture(scope="module")
def matrix():
    rng = np.random.default_rng(4)
    found = 0.01 * rng.standard_normal((120, 60)) + 0.008 * rng.standard_normal((120, 1)) + 0.0005
    found[3, 7] = np.nan  # failed
    found[:, 11] = 0.0  # never traded
    found[:, 20:23] = np.nan  # a part of its own without a trial
    return found


def parts(matrix, edges=(0, 9, 20, 23, 24, 60)):
    return [matrix[:, a:b] for a, b in itertools.pairwise(edges)]


def test_parts_give_the_figures_of_the_whole(matrix):
    market = 0.01 * np.random.default_rng(5).standard_normal(120)
    whole = assess(matrix, 365.0, benchmark=market, resamples=200).to_dict()
    found = assess_parts(parts(matrix), matrix, 365.0, benchmark=market, resamples=200).to_dict()
    assert flat(found) == pytest.approx(flat(whole), rel=1e-9)


def flat(figures, prefix=""):
    found = {}
    for name, value in figures.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return found


def test_the_test_does_not_see_where_the_parts_end(matrix):
    trials = Trials.of(matrix)
    block = typical_block_length(trials.returns, np.zeros(120))
    wanted = superior_ability(trials, resamples=200, seed=3)
    test = PooledTest(np.zeros(120), block, resamples=200, seed=3)
    for columns in np.array_split(np.arange(trials.n), 6):
        test.add(trials.returns[:, columns], trials.columns[columns])
    found = test.result()
    assert (found.best, found.p_value, found.p_upper) == (wanted.best, wanted.p_value, wanted.p_upper)
    assert found.statistic == pytest.approx(wanted.statistic, rel=1e-12)


def test_nothing_to_compare_is_an_error(matrix):
    with pytest.raises(SelectionError, match="no trial is left"):
        assess_parts([matrix[:, 20:23]], matrix[:, 20:23], 365.0)
    assert PooledTest(np.zeros(120), 1.0).result() is None
