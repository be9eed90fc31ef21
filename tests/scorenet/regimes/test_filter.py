"""The forward filter against hand-computed probabilities; it sees a finite window and nothing later."""

import numpy as np

from scorenet.regimes.filter import WINDOW, filter_last, forward_filter

TABLE = np.array([[0.9, 0.1], [0.2, 0.8]])
START = np.array([2 / 3, 1 / 3])  # stationary: 2/3 * 0.1 = 1/3 * 0.2


def test_two_bars_by_hand():
    # Likelihoods 1:3 and then 1:1. Bar 1: (2/3 * 1, 1/3 * 3) = (2/3, 1) -> (0.4, 0.6).
    # Bar 2: (0.4 * 0.9 + 0.6 * 0.2, ...) = (0.48, 0.52).
    found = forward_filter(np.log([[1.0, 3.0], [1.0, 1.0]]), TABLE, START)
    np.testing.assert_allclose(found, [[0.4, 0.6], [0.48, 0.52]], rtol=1e-12)


def test_a_tail_gives_the_same_bits_and_later_bars_change_nothing():
    evidence = np.random.default_rng(0).normal(size=(400, 2))
    whole = forward_filter(evidence, TABLE, START)
    np.testing.assert_array_equal(forward_filter(evidence[:300], TABLE, START), whole[:300])
    np.testing.assert_array_equal(forward_filter(evidence[-WINDOW:], TABLE, START)[-1], whole[-1])


def test_a_sticky_table_ignores_a_single_bar_and_follows_several():
    sticky = np.array([[0.99, 0.01], [0.01, 0.99]])
    evidence = np.zeros((60, 2))
    evidence[:, 0] = 2.0  # the first regime
    evidence[20, 1] = 4.0  # one bar of the other
    evidence[40:, 1] = 4.0
    labels = forward_filter(evidence, sticky, np.array([0.5, 0.5])).argmax(axis=1)
    assert labels[:40].tolist() == [0] * 40
    assert labels[46:].tolist() == [1] * 14


def test_the_last_row_alone_has_the_same_bits():
    generator = np.random.default_rng(1)
    for count, total in ((1, 5), (3, 400), (9, 200)):
        table = generator.dirichlet(np.ones(count), size=count)
        start, evidence = generator.dirichlet(np.ones(count)), 3 * generator.normal(size=(total, count))
        whole = forward_filter(evidence, table, start)
        assert filter_last(evidence, table, start) == whole[-1].tolist()
        assert filter_last(evidence[: total // 2], table, start) == whole[total // 2 - 1].tolist()
