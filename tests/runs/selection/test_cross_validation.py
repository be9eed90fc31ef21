"""PBO by cross-validation: against a direct computation of every split, and on searches whose answer is known."""

import itertools

import numpy as np
import pytest

from runs.selection import SelectionError, Trials, overfitting


def direct(returns, blocks):
    """The paper's algorithm, one split at a time, from the returns themselves."""
    parts = np.array_split(np.arange(len(returns)), blocks)
    sizes = {len(part) for part in parts}
    assert len(sizes) == 1, "use a length that the blocks divide"
    logits, inside, outside = [], [], []
    for chosen in itertools.combinations(range(blocks), blocks // 2):
        rest = [block for block in range(blocks) if block not in chosen]
        a, b = (returns[np.concatenate([parts[i] for i in side])] for side in (chosen, rest))
        first, second = (part.mean(axis=0) / part.std(axis=0, ddof=1) for part in (a, b))
        best = np.argmax(first)
        rank = np.sum(second <= second[best]) / (returns.shape[1] + 1)
        logits.append(np.log(rank / (1 - rank)))
        inside.append(first[best])
        outside.append(second[best])
    slope = np.polyfit(inside, outside, 1)[0]
    return np.mean(np.array(logits) <= 0), np.mean(np.array(outside) < 0), slope, len(logits)


@pytest.mark.parametrize(("blocks", "n"), [(2, 3), (6, 7), (8, 30)])
def test_it_is_the_algorithm_of_the_paper(blocks, n):
    returns = 0.01 * np.random.default_rng(blocks).standard_normal((240, n)) + np.linspace(0, 0.001, n)
    found = overfitting(Trials.of(returns), blocks)
    pbo, loss, slope, splits = direct(returns, blocks)
    assert (found.pbo, found.probability_of_loss, found.splits) == (pbo, loss, splits)
    assert found.degradation_slope == pytest.approx(slope)
    assert 0.0 <= found.degradation_r2 <= 1.0


def test_chunks_do_not_change_the_result(monkeypatch):
    trials = Trials.of(np.random.default_rng(1).standard_normal((100, 12)))
    whole = overfitting(trials, 8)
    monkeypatch.setattr("runs.selection.cross_validation._CELLS", 40)
    again = overfitting(trials, 8)
    assert (again.pbo, again.probability_of_loss) == (whole.pbo, whole.probability_of_loss)
    assert again.degradation_slope == pytest.approx(whole.degradation_slope)


def test_it_is_near_one_half_on_random_walks_and_zero_with_an_edge():
    found, edges = [], []
    for seed in range(60):
        returns = np.random.default_rng(seed).standard_normal((160, 20))
        found.append(overfitting(Trials.of(returns), 8).pbo)
        returns[:, 5] += 1.0
        edges.append(overfitting(Trials.of(returns), 8))
    # The standard deviation of the PBO of one search is 0.25 here: 3 standard errors of the mean are 0.1.
    assert np.mean(found) == pytest.approx(0.5, abs=0.1)
    assert max(edge.pbo for edge in edges) == 0.0
    assert max(edge.probability_of_loss for edge in edges) == 0.0


def test_a_search_whose_trials_turn_round_is_all_overfitting():
    # A trial that gains in one half loses in the other: the best of one half is the worst of the other.
    gains = np.linspace(-1, 1, 9)[None, :]
    noise = 0.01 * np.random.default_rng(0).standard_normal((64, 9))
    returns = noise + np.where(np.arange(64)[:, None] < 32, gains, -gains)
    found = overfitting(Trials.of(returns), 2)
    assert (found.pbo, found.probability_of_loss) == (1.0, 1.0)


def test_copies_share_their_rank():
    returns = np.repeat(np.random.default_rng(2).standard_normal((80, 1)), 4, axis=1)
    found = overfitting(Trials.of(returns), 4)
    assert found.pbo == 1.0  # at the median, which is not better than chance


def test_a_trial_that_rests_in_some_blocks_has_a_sharpe_of_zero_there():
    returns = np.random.default_rng(3).standard_normal((80, 3)) - 3.0
    returns[:40, 1] = 0.0
    returns[40:, 1] -= 1.0
    found = overfitting(Trials.of(returns), 2)
    # The resting half chooses it with 0, and it is one of three losers in the other half; the other half never does.
    assert np.isfinite([found.pbo, found.probability_of_loss, found.degradation_slope]).all()
    assert found.probability_of_loss == 1.0


def test_ten_thousand_trials_need_little_memory(monkeypatch):
    import tracemalloc

    monkeypatch.setattr("runs.selection.cross_validation._CELLS", 50_000)
    trials = Trials.of(np.random.default_rng(0).standard_normal((32, 10_000)))
    tracemalloc.start()
    overfitting(trials, 6)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30 * 2**20


@pytest.mark.parametrize(
    ("shape", "blocks", "message"),
    [
        ((99, 1), 4, "at least 2 trials"),
        ((99, 5), 5, "even number"),
        ((99, 5), 26, "from 2 to 24"),
        ((31, 5), 16, "at least 32 periods, found 31"),
    ],
)
def test_impossible_searches_are_errors(shape, blocks, message):
    with pytest.raises(SelectionError, match=message):
        overfitting(Trials.of(np.random.default_rng(0).standard_normal(shape)), blocks)
