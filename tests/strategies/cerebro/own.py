"""A user's own Cerebro: hourly bars, a daily filter data, and every mode in which Backtrader runs them."""

from __future__ import annotations

import backtrader as bt
import numpy as np

from feeds import BarsData, ReplayData, resample, simulate
from strategies import PerpetualBroker, PerpetualCommission, ScoreStrategy
from tests.chapter_rules import CHAPTER

HOUR = 3_600_000
BARS = 132
FREE = {"taker": 0.0, "funding": False, "lot_step": 0.0, "min_notional": 0.0}
OPEN = {
    **CHAPTER,
    "confidence_threshold": 0.0,
    "density_quantile": 0.0,
    "target_volatility": None,
    "rebalance_band": 0.0,
    "cooldown": 0,
}
MODES = {
    "runonce": ({}, BarsData),
    "next": ({"runonce": False}, BarsData),
    "no preload": ({"preload": False}, BarsData),
    "exactbars": ({"exactbars": 1}, BarsData),
    "live": ({}, ReplayData),
}


def market(seed=3, bars=BARS, symbol="BTC"):
    return simulate("planted", seed=seed, bars=bars, symbol=symbol)


def cerebro_of(frames, model, strategy=ScoreStrategy, *, mode="runonce", daily=False, **params):
    """Return a Cerebro over the frames, and a daily resampling of the first as a last data called "daily"."""
    modes, feed = MODES[mode]
    cerebro = bt.Cerebro(stdstats=False, **modes)
    cerebro.setbroker(PerpetualBroker(slippage=0.0, commission=PerpetualCommission(**FREE)))
    for frame in frames:
        cerebro.adddata(feed(dataname=frame), name=frame.attrs["symbol"])
    if daily:
        cerebro.adddata(feed(dataname=resample(frames[0], "1d")), name="daily")
    cerebro.addstrategy(strategy, model=model, **{**OPEN, **params})
    return cerebro


def log_of(strategy):
    """Return the decisions as columns that can be compared: reasons, targets, positions, scores."""
    columns = strategy.decisions.columns()
    numbers = np.stack([columns[name] for name in ("time", "target", "position", "score", "signal")])
    return list(columns["reason"]), numbers
