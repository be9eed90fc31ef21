"""The figures that the decision analyzers compute from a strategy's recorder."""

import backtrader as bt
import numpy as np
import pytest

from strategies.analyzers import Decisions, InDistribution
from tests.strategies.market import bars

COLUMNS = {
    "symbol": ["A", "B", "A", "B", "A", "B"],
    "reason": ["warmup", "warmup", "trade", "out_of_distribution", "hold", "stale"],
    "in_distribution": [False, True, True, False, True, False],
    "confidence": [np.nan, 0.9, 0.8, 0.2, 0.5, np.nan],
}


def analyse(columns):
    class Recorder:
        def columns(self):
            return columns

    class Recording(bt.Strategy):
        def __init__(self):
            if columns is not None:
                self.decisions = Recorder()

    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(bars([100] * 3))
    cerebro.addstrategy(Recording)
    cerebro.addanalyzer(Decisions)
    cerebro.addanalyzer(InDistribution, _name="in_distribution")
    analyzers = cerebro.run()[0].analyzers
    return analyzers.decisions.get_analysis(), analyzers.in_distribution.get_analysis()


@pytest.mark.parametrize("kind", [list, np.array])
def test_the_ratio_counts_decided_bars_only(kind):
    decisions, ratios = analyse({name: kind(column) for name, column in COLUMNS.items()})
    assert list(decisions["reason"]) == COLUMNS["reason"]
    assert ratios == {
        "in_distribution_ratio": 0.5,
        "by_symbol": {"A": 1.0, "B": 0.0},
        "reasons": {"hold": 1, "out_of_distribution": 1, "stale": 1, "trade": 1, "warmup": 2},
        "avg_confidence": pytest.approx(0.5),
    }


def test_a_run_that_never_decides_has_no_ratio():
    _, ratios = analyse({name: column[:2] for name, column in COLUMNS.items()})
    assert ratios == {
        "in_distribution_ratio": None,
        "by_symbol": {"A": None, "B": None},
        "reasons": {"warmup": 2},
        "avg_confidence": None,
    }


def test_a_strategy_without_a_recorder_has_no_ratio():
    decisions, ratios = analyse(None)
    assert decisions == {}
    assert ratios == {"in_distribution_ratio": None, "by_symbol": {}, "reasons": {}, "avg_confidence": None}
