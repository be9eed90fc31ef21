"""The trial matrix: what is compared, what is left out, and the clear errors of the rest."""

import numpy as np
import pytest

from runs.selection import SelectionError, Trials
from runs.selection.trials import column_chunks

RNG = np.random.default_rng(3)
RETURNS = 0.01 * RNG.standard_normal((60, 6))


def test_failed_and_idle_trials_are_left_out_and_counted():
    returns = RETURNS.copy()
    returns[5, 1] = np.nan
    returns[7, 2] = np.inf
    returns[:, 4] = 0.0
    trials = Trials.of(returns)
    assert (trials.n, trials.n_failed, trials.n_idle, trials.periods) == (3, 2, 1, 60)
    assert trials.columns.tolist() == [0, 3, 5]
    assert np.array_equal(trials.returns, RETURNS[:, [0, 3, 5]])


def test_sharpe_ratios_are_those_of_metrics_json():
    from strategies.analyzers.metrics import sharpe_ratio

    trials = Trials.of(RETURNS)
    expected = [sharpe_ratio(column, 1.0) for column in RETURNS.T]
    assert trials.sharpes == pytest.approx(expected)
    assert trials.best == int(np.argmax(expected))


def test_a_complete_matrix_is_not_copied():
    assert Trials.of(RETURNS).returns is RETURNS


def test_chunks_of_columns_cover_the_matrix(monkeypatch):
    whole = Trials.of(RETURNS).sharpes
    monkeypatch.setattr("runs.selection.trials._CHUNK_BYTES", 60 * 8 * 4)
    assert [part.shape[1] for part in column_chunks(RETURNS)] == [4, 2]
    assert Trials.of(RETURNS).sharpes == pytest.approx(whole)


@pytest.mark.parametrize(
    ("returns", "message"),
    [
        (RETURNS[:, 0], r"\[T, N\]"),
        (RETURNS[:2], "at least 3 periods"),
        (RETURNS[:, :0], "at least one trial"),
        (np.zeros((9, 4)), "of 4, 0 failed and 4 have returns that never vary"),
        (np.full((9, 4), np.nan), "of 4, 4 failed and 0 have"),
    ],
)
def test_nothing_to_compare_is_an_error(returns, message):
    with pytest.raises(SelectionError, match=message):
        Trials.of(returns)
