"""Column transforms: constants, lattices, skewed columns; inverse maps, and Jacobians that are derivatives."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scorenet.table.column_transforms import Columns


@pytest.fixture
def table():
    random = np.random.default_rng(0)
    n = 500
    return np.column_stack(
        [
            np.exp(2 * random.standard_normal(n)),
            random.standard_t(2, n),
            random.normal(5, 3, n),
            np.full(n, 7.0),
            random.poisson(3, n),
            1e6 + random.normal(size=n),
        ]
    )


def test_what_each_column_is(table):
    columns = Columns.fit(table, bend=True)
    assert columns.moving.tolist() == [True, True, True, False, True, True]
    assert columns.constants[3] == 7.0
    assert columns.step.tolist() == [0, 0, 0, 1, 0]
    assert (columns.tail < 1).tolist() == [True, True, False, False, False]


def test_bent_columns_have_no_outliers_left(table):
    straight, bent = (Columns.fit(table, bend=bend).scale(table) for bend in (False, True))
    assert np.abs(straight[:, :2]).max() > 8
    assert np.abs(bent).max() < 5
    np.testing.assert_allclose(bent[:, :4].std(axis=0), 1.0, atol=1e-6)


def test_standardise_is_mean_and_standard_deviation(table):
    z = Columns.fit(table, bend=False).scale(table)
    moving = table[:, [0, 1, 2, 4, 5]]
    np.testing.assert_allclose(z, (moving - moving.mean(axis=0)) / moving.std(axis=0), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("bend", [False, True])
def test_the_map_inverts_and_its_slopes_are_derivatives(table, bend):
    columns = Columns.fit(table, bend=bend)
    np.testing.assert_allclose(
        columns.raw(columns.scale(table), on_lattice=False), table, rtol=1e-9, atol=1e-9
    )
    for k, column in enumerate(np.flatnonzero(columns.moving)):
        h = 1e-5 * columns.unit[k]
        up, down = table.copy(), table.copy()
        up[:, column] += h
        down[:, column] -= h
        slope = (columns.scale(up) - columns.scale(down))[:, k] / (2 * h)
        np.testing.assert_allclose(columns.slope(table)[:, k], slope, rtol=2e-4)
        bend_of = (columns.log_slope(up) - columns.log_slope(down)) / (2 * h)
        np.testing.assert_allclose(columns.log_slope_gradient(table)[:, k], bend_of, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(columns.log_slope(table), np.log(columns.slope(table)).sum(axis=1))


def test_the_resolution_is_the_spread_of_a_value_within_its_cell():
    random = np.random.default_rng(1)
    x = np.column_stack([0.25 * random.integers(0, 9, 400), random.normal(size=400)])
    columns = Columns.fit(x, bend=False)
    cell = random.uniform(-0.125, 0.125, 100_000)
    assert columns.resolution[0] == pytest.approx(cell.std() / x[:, 0].std(), rel=0.01)
    assert columns.resolution[1] == 0


def test_samples_return_to_the_lattice_and_the_constants(table):
    columns = Columns.fit(table, bend=True)
    rows = columns.raw(np.random.default_rng(2).normal(size=(50, 5)), on_lattice=True)
    assert (rows[:, 4] == np.round(rows[:, 4])).all()
    assert (rows[:, 3] == 7.0).all()
    assert (rows[:, 2] != np.round(rows[:, 2])).all()


def test_a_departing_constant_costs_what_the_rule_of_succession_leaves(table):
    columns = Columns.fit(table, bend=True)
    rows = np.repeat(table[:1], 4, axis=0)
    rows[:, 3] = [7.0, 7.0 + 1e-13, 7.001, 1e9]
    cost = columns.constant_log_probability(rows)
    assert cost[:2].tolist() == [0.0, 0.0]
    assert cost[2] == pytest.approx(-np.log(502), abs=1e-6)
    assert -100 < cost[3] < cost[2]


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 40), st.integers(0, 2**31), st.sampled_from([1e-9, 1.0, 1e9]), st.booleans())
def test_any_table_gives_finite_maps(n, seed, size, bend):
    random = np.random.default_rng(seed)
    x = size * np.column_stack(
        [random.standard_cauchy(n), random.integers(0, 2, n), np.exp(5 * random.normal(size=n)), np.zeros(n)]
    )
    columns = Columns.fit(x, bend=bend)
    far = np.vstack([x, np.full((1, 4), 1e300), np.full((1, 4), -1e300)])
    for values in (
        columns.scale(far),
        columns.log_slope(far),
        columns.constant_log_probability(far),
        columns.log_slope_gradient(x),
    ):
        assert np.isfinite(values).all()
