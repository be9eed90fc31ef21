"""Profit by regime against a hand-computed run: a bar counts for the regime that was known when it began."""

import math

import numpy as np
import pytest

from scorenet.regimes.filter import WINDOW
from strategies.analyzers.regimes import profit_by_regime

HOUR = 3_600_000
LABELS = [0, 0, 1, 1, 0, 1]  # of the last six bars


class _Features:
    def compute(self, bars, step):
        return np.zeros((len(bars["timestamp"]), 1))


class _Map:
    def __len__(self):
        return 2

    def summary(self):
        return [{"regime": k, "name": name, "next": {}} for k, name in enumerate(("calm", "turbulent"))]


class _Model:
    lookback, features, regime_map = 2, _Features(), _Map()

    def regimes(self, x, time):
        return np.array([1] * (len(x) - 6) + LABELS)


def test_profits_by_hand():
    bars = {"timestamp": HOUR * np.arange(2 + WINDOW - 1 + 6)}
    closes = bars["timestamp"][-7:] + HOUR  # the first is before the first known regime
    equity = np.array([100.0, 101.0, 99.0, 102.0, 102.0, 106.0, 105.0])
    rows = {row["name"]: row for row in profit_by_regime(_Model(), bars, HOUR, closes, equity)}
    # Profits 1, -2, 3, 0, 4, -1. Known before them: nothing, then 0, 0, 1, 1, 0 (the last label, 1, has no bar yet).
    assert {name: row["pnl"] for name, row in rows.items()} == {
        "calm": -2.0 + 3.0 - 1.0,
        "turbulent": 4.0,
        "not known yet": 1.0,
    }
    assert {name: row["bars"] for name, row in rows.items()} == {
        "calm": 3,
        "turbulent": 2,
        "not known yet": 1,
    }
    assert [rows[name]["mean_run"] for name in ("calm", "turbulent")] == [1.5, 2.0]
    assert rows["calm"]["share"] == pytest.approx(0.5)
    returns = np.array([-2 / 101, 3 / 99, -1 / 106])
    expected = returns.mean() / returns.std(ddof=1) * math.sqrt(365 * 24)
    assert rows["calm"]["sharpe_ratio"] == pytest.approx(expected, rel=1e-12)
    assert rows["not known yet"]["regime"] is None
    assert sum(row["pnl"] for row in rows.values()) == pytest.approx(equity[-1] - equity[0])
