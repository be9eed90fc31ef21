"""The figures that the decision analyzers compute from a strategy's recorder."""

import backtrader as bt
import numpy as np
import pytest

from strategies.analyzers import Decisions, InDistribution
from tests.strategies.market import bars

COLUMNS = {
    "symbol": ["A", "B", "A", "B", "A", "B"],
    "reason": ["warmup", "warmup", "trade", "out_of_distribution", "hold", "stale"],
    "in_distribution": [None, True, True, False, True, None],
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
def test_the_ratio_counts_decided_bars_with_a_state_only(kind):
    decisions, ratios = analyse({name: kind(column) for name, column in COLUMNS.items()})
    assert list(decisions["reason"]) == COLUMNS["reason"]
    assert ratios == {
        "in_distribution_ratio": pytest.approx(2 / 3),
        "by_symbol": {"A": 1.0, "B": 0.0},
        "bars_without_state": 1,
        "reasons": {"hold": 1, "out_of_distribution": 1, "stale": 1, "trade": 1, "warmup": 2},
        "avg_confidence": pytest.approx(0.5),
    }


def test_a_run_that_never_decides_has_no_ratio():
    _, ratios = analyse({name: column[:2] for name, column in COLUMNS.items()})
    assert ratios == {
        "in_distribution_ratio": None,
        "by_symbol": {"A": None, "B": None},
        "bars_without_state": 0,
        "reasons": {"warmup": 2},
        "avg_confidence": None,
    }


def test_a_strategy_without_a_recorder_has_no_ratio():
    decisions, ratios = analyse(None)
    assert decisions == {}
    assert ratios == {
        "in_distribution_ratio": None,
        "by_symbol": {},
        "bars_without_state": 0,
        "reasons": {},
        "avg_confidence": None,
    }


def test_of_bars_without_a_state_alone_there_is_no_ratio():
    columns = {
        "symbol": ["A", "A"],
        "reason": ["stale", "stale"],
        "in_distribution": [None, None],
        "confidence": [np.nan, np.nan],
    }
    _, ratios = analyse(columns)
    assert (ratios["in_distribution_ratio"], ratios["by_symbol"], ratios["bars_without_state"]) == (
        None,
        {"A": None},
        2,
    )
