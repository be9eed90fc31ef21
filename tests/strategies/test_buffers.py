"""`Rows` returns the same values as the single lines in all modes of Cerebro, and can be pickled."""

import pickle

import backtrader as bt
import pytest

from feeds import BarsData, ReplayData, simulate
from strategies import ScoreStrategy
from strategies.buffers import Rows

MODES = [
    {},
    {"runonce": False},
    {"runonce": False, "preload": False},
    {"exactbars": 1},
    {"exactbars": -1},
]


class Twice(bt.Strategy):
    """Record the bands of the close read as rows and as lines."""

    def __init__(self):
        bands = bt.ind.BollingerBands(self.data.close, period=5)
        self.bands = (bands.lines.mid, bands.lines.top, bands.lines.bot)
        self.rows = Rows(self.bands)
        self.read, self.shown = [], []

    def next(self):
        self.read.append(self.rows.current())
        self.shown.append(tuple(line[0] for line in self.bands))


@pytest.mark.parametrize("feed", [BarsData, ReplayData])
@pytest.mark.parametrize("modes", MODES, ids=str)
def test_rows_are_what_the_lines_show(modes, feed):
    cerebro = bt.Cerebro(stdstats=False, **modes)
    cerebro.adddata(feed(dataname=simulate("planted", seed=1, bars=60)))
    cerebro.addstrategy(Twice)
    strategy = cerebro.run()[0]
    assert strategy.read == strategy.shown
    assert len(set(strategy.read)) == len(strategy.read) == 56


def test_a_strategy_that_has_run_can_be_pickled(tiny_model):
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(BarsData(dataname=simulate("planted", seed=1, bars=60)))
    cerebro.addstrategy(ScoreStrategy, model=tiny_model)
    assert pickle.dumps(cerebro.run()[0])
