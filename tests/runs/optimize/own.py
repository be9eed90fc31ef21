"""Strategies of a user: one of Backtrader's kind, one on top of ScoreStrategy."""

import backtrader as bt

from strategies import ScoreStrategy


class Crossing(bt.Strategy):
    """Long while the close is above its mean."""

    params = (("period", 10), ("share", 0.5), ("broken", False))

    def __init__(self):
        self.mean = bt.ind.SMA(period=self.p.period)
        if self.p.broken:
            raise RuntimeError("broken on purpose")

    def next(self):
        self.order_target_percent(target=self.p.share if self.data.close[0] > self.mean[0] else 0.0)


class Louder(ScoreStrategy):
    """A ScoreStrategy with a parameter more."""

    params = (("loudness", 1.0),)


def helper():
    """Be in the file, and no strategy."""
