"""Profit by regime against a hand-computed run: a bar counts for the regime that was known when it began."""

import math

import numpy as np
import pytest

from scorenet.calendars import AlwaysOpen
from scorenet.regimes.filter import WINDOW
from strategies.analyzers import Attribution, EquityCurve
from strategies.analyzers.regimes import profit_by_regime
from tests.strategies.market import bars, free_broker, run, trade

HOUR = 3_600_000
LABELS = [0, 0, 1, 1, 0, 1]  # of the last six bars


class _Features:
    def compute(self, bars, step, clock):
        return np.zeros((len(bars["timestamp"]), 1))


class _Map:
    def __len__(self):
        return 2

    def summary(self):
        return [{"regime": k, "name": name, "next": {}} for k, name in enumerate(("calm", "turbulent"))]


class _Model:
    lookback, features, regime_map, clock = 2, _Features(), _Map(), AlwaysOpen(HOUR)

    def regimes(self, x, time):
        return np.array([1] * (len(x) - 6) + LABELS)


def test_profits_by_hand():
    opens = {"timestamp": HOUR * np.arange(2 + WINDOW - 1 + 6)}
    closes = opens["timestamp"][-7:] + HOUR  # the first is before the first known regime
    equity = np.array([100.0, 101.0, 99.0, 102.0, 102.0, 106.0, 105.0])
    own = np.array([7.0, 0.5, -1.0, 2.0, 0.0, 3.0, 0.25])
    rows = {row["name"]: row for row in profit_by_regime(_Model(), opens, HOUR, closes, equity, own)}
    # Profits of the account 1, -2, 3, 0, 4, -1, of the symbol 0.5, -1, 2, 0, 3, 0.25 (7 is of a bar before).
    # Known before them: nothing, then 0, 0, 1, 1, 0; the last label, 1, has no bar yet.
    assert {name: row["pnl"] for name, row in rows.items()} == {
        "calm": -1.0 + 2.0 + 0.25,
        "turbulent": 3.0,
        "not known yet": 0.5,
    }
    assert {name: row["account_pnl"] for name, row in rows.items()} == {
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
    returns = np.array([-1 / 101, 2 / 99, 0.25 / 106])
    expected = returns.mean() / returns.std(ddof=1) * math.sqrt(365 * 24)
    assert rows["calm"]["sharpe_ratio"] == pytest.approx(expected, rel=1e-12)
    assert rows["not known yet"]["regime"] is None
    assert sum(row["account_pnl"] for row in rows.values()) == pytest.approx(equity[-1] - equity[0])
    assert sum(row["pnl"] for row in rows.values()) == pytest.approx(own[1:].sum())


def test_each_symbol_s_money_goes_to_its_own_regime():
    # 10 A bought at 100, 20 B sold at 50, 0.1 % of 1000 each as fee; A pays funding of 1 % of 1100.
    a = bars([100.0, 100.0, 110.0, 105.0], {2: 0.01}, symbol="A")
    b = bars([50.0, 50.0, 40.0, 45.0], symbol="B")
    orders = {0: [trade(10.0), trade(-20.0, 1)]}
    strategy = run([a, b], orders, free_broker(taker=0.001), analyzers=[EquityCurve, Attribution])
    symbols, net = strategy.analyzers.attribution.net
    equity = strategy.analyzers.equitycurve.get_analysis()
    assert symbols == ["A", "B"]
    assert net.tolist() == [[0.0, 0.0], [-1.0, -1.0], [100.0 - 11.0, 200.0], [-50.0, -100.0]]
    assert equity["equity"].tolist() == [10_000.0, 9_998.0, 10_287.0, 10_137.0]

    class Known(_Model):
        def __init__(self, labels):
            self.labels = labels

        def regimes(self, x, time):
            return np.array([0] * (len(x) - 4) + self.labels)

    closes = equity["time"]
    opens = {"timestamp": closes[-1] - HOUR * np.arange(WINDOW + 10, 0, -1)}
    found = {}
    for number, labels in enumerate(([0, 1, 1, 1], [1, 1, 0, 0])):
        rows = profit_by_regime(Known(labels), opens, HOUR, closes, equity["equity"], net[:, number])
        found[symbols[number]] = {row["name"]: (row["pnl"], row["account_pnl"]) for row in rows}
    # Known before the last three bars: A 0, 1, 1 and B 1, 1, 0. The account made -2, 289 and -150.
    assert found == {
        "A": {"calm": (-1.0, -2.0), "turbulent": (89.0 - 50.0, 289.0 - 150.0)},
        "B": {"calm": (-100.0, -150.0), "turbulent": (-1.0 + 200.0, -2.0 + 289.0)},
    }
    assert sum(own for rows in found.values() for own, _ in rows.values()) == 10_137.0 - 10_000.0
