"""The surface of a search: shares of variance against closed forms, and the neighbourhood of the best."""

import numpy as np
import pandas as pd
import pytest

from runs.surface import axes_of, fitted, importance, stability, summary


def trials(n=600, seed=0, **columns):
    rng = np.random.default_rng(seed)
    table = {"params_a": rng.random(n), "params_b": rng.random(n), "params_c": rng.random(n)} | columns
    return pd.DataFrame({"number": range(n), **table, "status": "complete"})


def test_shares_of_an_additive_function_are_those_of_its_parts():
    table = trials()
    # Var(2a) = 4/12 and Var(b) = 1/12: 80 % and 20 %, nothing together.
    values = 2 * table["params_a"].to_numpy() + table["params_b"].to_numpy()
    axes = axes_of(table)
    found = importance(axes, fitted(axes, values))
    assert found.alone["a"] == pytest.approx(0.8, abs=0.08)
    assert found.alone["b"] == pytest.approx(0.2, abs=0.08)
    assert found.alone["c"] < 0.02
    assert max(found.pairs.values()) < 0.06
    assert found.fit > 0.9


def test_what_two_settings_do_only_together_is_said():
    table = trials(1500)
    sign = np.sign(table["params_a"] - 0.5) * np.sign(table["params_b"] - 0.5)
    axes = axes_of(table)
    found = importance(axes, fitted(axes, sign.to_numpy()))
    assert max(found.alone.values()) < 0.1
    assert found.pairs[("a", "b")] > 0.7


def test_noise_is_said_to_be_noise_and_too_few_trials_are_nothing():
    table = trials(200)
    axes = axes_of(table)
    assert importance(axes, fitted(axes, np.random.default_rng(1).standard_normal(200))).fit < 0.3
    assert fitted(axes, np.full(200, 1.0)) is None
    assert fitted(axes_of(trials(8)), np.arange(8.0)) is None


def test_axes_of_lists_ranges_texts_and_missing_values():
    rows = 40
    table = pd.DataFrame(
        {
            "params_list": pd.array([0, 24, 6, None] * 10, dtype="Int64"),
            "params_text": ["equal", "risk"] * 20,
            "params_range": np.linspace(5.0, 7.0, rows),
            "params_log": np.geomspace(1e-3, 1.0, rows),
            "params_flag": pd.array([True, False] * 20, dtype="boolean"),
            "params_fixed": [1] * rows,
        }
    )
    found = {axis.name: axis for axis in axes_of(table)}
    assert list(found) == ["list", "text", "range", "log", "flag"]
    assert found["list"].labels == ("none", "0", "6", "24")
    assert found["list"].places[:4].tolist() == pytest.approx([1 / 3, 1.0, 2 / 3, 0.0])
    assert found["text"].labels == ("equal", "risk")
    assert (found["range"].labels, found["range"].value(0.5)) == ((), 6.0)
    assert found["log"].log
    assert found["log"].value(0.5) == pytest.approx(np.sqrt(1e-3))
    assert found["log"].places[13] == pytest.approx(13 / 39)


GRID = [(a, b) for a in range(5) for b in range(5)]


def on_grid(value):
    table = pd.DataFrame(GRID, columns=["params_a", "params_b"])
    values = np.array([value(a, b) for a, b in GRID], dtype=float)
    return axes_of(table), values


def test_a_plateau_a_slope_and_a_spike():
    axes, broad = on_grid(
        lambda a, b: 10.0 - 0.1 * ((a - 2) ** 2 + (b - 2) ** 2) if (a, b) != (0, 0) else -50.0
    )
    found = stability(axes, broad, 12, smaller=False)
    # Neighbours of (2, 2): four at 9.9; the median of 25: see below.
    assert (found.best, found.neighbours, found.mean, found.worst) == (10.0, 4, pytest.approx(9.9), 9.9)
    assert found.kept == pytest.approx((9.9 - found.median) / (10.0 - found.median))
    assert found.shape == "plateau"
    axes, spike = on_grid(lambda a, b: 5.0 if (a, b) == (2, 2) else 1.0)
    found = stability(axes, spike, 12, smaller=False)
    assert (found.mean, found.kept, found.shape) == (1.0, 0.0, "spike")
    axes, slope = on_grid(lambda a, b: max(0.0, 2.0 - abs(a - 2) - abs(b - 2)))
    assert stability(axes, slope, 12, smaller=False).shape == "slope"  # neighbours 1, median 0, best 2


def test_where_smaller_is_better_the_worst_is_the_largest():
    axes, costs = on_grid(lambda a, b: 1.0 + a + b)
    found = stability(axes, costs, 0, smaller=True)
    assert (found.best, found.neighbours, found.worst) == (
        1.0,
        3,
        3.0,
    )  # a corner has two; one more from the diagonal


def test_on_ranges_the_nearest_count():
    table = trials(50)
    axes = axes_of(table)
    values = -np.abs(table["params_a"].to_numpy() - 0.5)
    best = int(values.argmax())
    found = stability(axes, values, best, smaller=False)
    assert found.neighbours >= 3
    assert stability(axes, np.full(50, np.nan), best, smaller=False) is None


def test_the_summary_leaves_failed_trials_out():
    table = trials(60, sharpe_ratio=np.linspace(0, 1, 60))
    table.loc[59, "status"] = "failed"
    found = summary(table, "sharpe_ratio", 58)
    assert found["stability"]["best"] == table["sharpe_ratio"][58]
    assert set(found["importance"]) == {"a", "b", "c"}
    assert summary(table.iloc[50:], "sharpe_ratio", 58)["importance"] is None
