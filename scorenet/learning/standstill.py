"""Bars that teach nothing: a price that stands still, or a feature with one value in all training rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..base.times import iso
from ..errors import DeadMarket
from ..features import INPUTS, VOLATILITY_FLOOR, FeatureSet
from ..features.registry import FEATURE_SETS

__all__ = ["check_moving", "check_varying", "stands_still"]

Array = NDArray[np.float64]
Index = NDArray[np.int64]

_MOST = 0.5  # share of states without a move, above which a market is refused
_ROUNDING = 1e-12  # relative; differences as small as that are rounding errors of one value


def stands_still(volatility: Array) -> NDArray[np.bool_]:
    """Return [T] whether the price has not moved within the window of a bar's volatility [T]."""
    return np.asarray(volatility <= VOLATILITY_FLOOR)


def check_moving(symbol: str, time: Index, still: NDArray[np.bool_], window: int) -> None:
    """Check that a market trades in at least half of its states.

    Raises:
        DeadMarket: it does not; the message names the symbol, the share and the span.
    """
    count, total = int(still.sum()), len(still)
    if count <= _MOST * total:
        return
    first, last = (iso(int(time[still][end])) for end in (0, -1))
    raise DeadMarket(
        f"{symbol}: expected a price that moves, found none within {window} bars in {count:,} of {total:,} market "
        f"states, {first} to {last}; leave {symbol} out, or train on a span in which it trades (--since, --until)"
    )


def check_varying(x: Array, features: FeatureSet, symbols: Sequence[str], span: Sequence[int]) -> None:
    """Check that every feature has two different values in the training rows x [N, F].

    A feature with one value would make every other value of it impossible: all later bars that have one would be out
    of distribution.

    Raises:
        DeadMarket: one has not; the message names it, its value, and what to do.
    """
    low, high = x.min(axis=0), x.max(axis=0)
    constant = np.flatnonzero(high - low <= _ROUNDING * np.maximum(np.abs(low), np.abs(high)))
    if not len(constant):
        return
    column = int(constant[0])
    name = features.names[column]
    needs = {f.name: f.needs for f in FEATURE_SETS[features.name].features}[name]
    remedy = "choose another feature set (--features)"
    if needs is not None and needs not in INPUTS:
        remedy = f"train on bars without {needs}"
    others = f" (and {len(constant) - 1} more)" if len(constant) > 1 else ""
    first, last = map(iso, span)
    raise DeadMarket(
        f"{', '.join(symbols)}: feature {name!r}{others} has the value {x[0, column]:g} in all {len(x):,} training "
        f"rows, {first} to {last}; a density needs two different values. Train on a span in which it changes "
        f"(--since, --until), or {remedy}"
    )
