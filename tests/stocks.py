"""Bars of a market with sessions, and the same prices in a market that never closes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from feeds import simulate
from scorenet import ScoreModel
from scorenet.base.times import DAY_MS
from scorenet.calendars import clock_of

HOUR_MS = 3_600_000
CALENDAR = "XNYS"


def utc(text: str) -> int:
    """Return UTC ms of a date or time."""
    return int(np.datetime64(text, "ms").astype(np.int64))


def never_closed(bars: int, seed: int = 11, *, timeframe: str = "1h", symbol: str = "SPY") -> pd.DataFrame:
    """Return simulated bars of a market that never closes and pays no funding."""
    frame = simulate("regimes", seed=seed, bars=bars, symbol=symbol, timeframe=timeframe, sigma=0.01)
    return frame[["timestamp", "open", "high", "low", "close", "volume"]]


def on_sessions(frame: pd.DataFrame, first: str) -> pd.DataFrame:
    """Return the same bars one after the other in the sessions of XNYS, from the one that opens at `first` on."""
    step = HOUR_MS if frame.attrs["timeframe"] == "1h" else DAY_MS
    clock = clock_of(CALENDAR, step)
    begin = int(clock.trading_ms(utc(first)))
    passed = (frame["timestamp"].to_numpy() - frame["timestamp"].iloc[0]) // step * step
    stock = frame.assign(timestamp=clock.open_at(begin + passed))
    stock.attrs = {**frame.attrs, "calendar": CALENDAR}
    return stock


def of_sessions(model: ScoreModel, step: int) -> ScoreModel:
    """Return a model as if it had been trained on bars of XNYS of this size."""
    return replace(model, info={**model.info, "bar_ms": step, "calendar": CALENDAR})


def of_size(model: ScoreModel, step: int) -> ScoreModel:
    """Return a model as if it had been trained on bars of this size in a market that never closes."""
    return replace(model, info={**model.info, "bar_ms": step})
