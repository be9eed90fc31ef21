"""The rows that a model learns from: states and forward returns of all markets, pooled, and their split in time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..base.printable import one_line
from ..calendars import Clock, clock_of
from ..config import ModelConfig
from ..errors import ScorenetError, TooFewBars
from ..features import OPTIONAL_INPUTS, Bars, FeatureSet, feature_set
from ..forward.distribution import forward_target
from ..windows import Split, chronological_split
from .standstill import check_moving, check_varying, stands_still

__all__ = ["Market", "Rows", "common_features", "pool", "split_rows"]

Array = NDArray[np.float64]
Index = NDArray[np.int64]

_FEWEST = 64  # rows of a part


@dataclass(frozen=True)
class Market:
    """Closed bars of one symbol: columns [T] with an int64 "timestamp" (UTC ms, bar open), `step_ms` apart.

    `calendar` names the sessions of a market that closes ("XNYS"); its bars are `step_ms` apart in trading time.
    """

    symbol: str
    bars: Bars
    step_ms: int
    calendar: str | None = None

    def __repr__(self) -> str:
        return one_line(self, f"{len(self.bars['timestamp'])} bars", **vars(self))

    @property
    def clock(self) -> Clock:
        """Return the clock of the market's sessions.

        Raises:
            ConfigError: the calendar is unknown, or exchange_calendars is not installed.
        """
        return clock_of(self.calendar, self.step_ms)

    def trading_ms(self) -> Index:
        """Return the trading time of the bars' opens [T], ms: bars next to each other are `step_ms` apart."""
        return self.clock.trading_ms(self.bars["timestamp"])


@dataclass(frozen=True)
class Rows:
    """Pooled states of all markets: x raw [N, F], y forward returns [N, H] (NaN near the end), time [N] (UTC ms)."""

    x: Array
    y: Array
    time: Index

    def span(self, index: Index) -> list[int]:
        """Return the first and the last time of some rows, UTC ms."""
        return [int(self.time[index].min()), int(self.time[index].max())]


def common_features(markets: Sequence[Market], config: ModelConfig) -> FeatureSet:
    """Return the features that all markets can give, in the set of `config`.

    Raises:
        ScorenetError: there is no market, or the markets have several bar sizes or calendars.
        FeatureMismatch: a row depends on the rows computed with it.
    """
    if not markets:
        raise ScorenetError("expected at least one market to train on, found none; give the bars of a market")
    if len({market.step_ms for market in markets}) > 1:
        raise ScorenetError(
            "expected markets of one bar size, found several; train one model for each timeframe"
        )
    if len({market.calendar for market in markets}) > 1:
        named = ", ".join(f"{market.symbol} {market.calendar or 'without one'}" for market in markets)
        raise ScorenetError(
            f"expected markets of one calendar, found {named}; train one model for each calendar"
        )
    optional = tuple(name for name in OPTIONAL_INPUTS if all(_carries(m.bars, name) for m in markets))
    empty = () if all(_carries(m.bars, "volume") for m in markets) else ("volume",)
    features = feature_set(config.features, optional, empty)
    for market in markets:  # in one that is shorter than the lookback there is no row to check
        features.check_rows(market.bars)
    return features


def _carries(bars: Bars, name: str) -> bool:
    """Return whether a column has data; feeds fill a column that is not published with zeros.

    One value in all bars, zero or another, tells one state from another no better than no column.
    """
    return name in bars and len(bars[name]) > 0 and bool(np.any(bars[name] != bars[name][0]))


def pool(markets: Sequence[Market], features: FeatureSet, horizons: Sequence[int]) -> Rows:
    """Return the rows of all markets whose state is defined and whose price moves within it.

    Raises:
        TooFewBars: no market has a state.
        DeadMarket: the price of a market stands still in most of its states.
    """
    parts: list[Rows] = []
    for market in markets:
        x = features.compute(market.bars, market.step_ms, market.clock)
        volatility = features.volatility(market.bars)
        y = np.stack([_target(market, volatility, horizon) for horizon in horizons], axis=1)
        time = np.asarray(market.bars["timestamp"], dtype=np.int64)
        defined = np.isfinite(x).all(axis=1)
        still = stands_still(volatility)
        check_moving(market.symbol, time[defined], still[defined], features.volatility_window)
        # Without a move in the window there is no scale to measure a return in.
        kept = defined & ~still
        parts.append(Rows(x[kept], y[kept], time[kept]))
    joined = Rows(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("x", "y", "time")))
    if not len(joined.x):
        longest = max(_longest_stretch(market) for market in markets)
        purpose = f"compute the {features.name} features from bars in a row, without a missing one"
        raise TooFewBars(features.lookback + 1, longest, purpose)
    return joined


def _longest_stretch(market: Market) -> int:
    """Return the number of bars in the longest stretch without a missing one."""
    time = market.trading_ms()
    edges = np.flatnonzero(np.diff(time) != market.step_ms) + 1
    return int(np.diff(np.concatenate(([0], edges, [len(time)]))).max()) if len(time) else 0


def _target(market: Market, volatility: Array, horizon: int) -> Array:
    y = forward_target(np.asarray(market.bars["close"], dtype=np.float64), volatility, horizon)
    time = market.trading_ms()
    # Where bars are missing in between, the return spans a longer time.
    y[:-horizon][time[horizon:] - time[:-horizon] != horizon * market.step_ms] = np.nan
    return y


def split_rows(rows: Rows, features: FeatureSet, config: ModelConfig, markets: Sequence[Market]) -> Split:
    """Split rows in time; no part sees bars of another, and every feature varies in the first.

    Raises:
        TooFewBars: a part is too short.
        DeadMarket: a feature has one value in all training rows.
    """
    split = chronological_split(
        markets[0].clock.trading_ms(rows.time),
        horizon=max(config.forward.all_horizons),
        embargo=features.lookback,
        step_ms=markets[0].step_ms,
        fractions=(config.train_fraction, config.validation_fraction),
        minimum=_FEWEST,
    )
    symbols = [market.symbol for market in markets]
    check_varying(rows.x[split.train], features, symbols, rows.span(split.train))
    return split
