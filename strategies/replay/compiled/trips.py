"""Trades from flat to flat in compiled form: the sums that `analyzers.trades` keeps, for the closed trades."""

from __future__ import annotations

from typing import Any

import numpy as np

from .jit import compiled
from .layout import LOST, TRADES, WINS, WON

__all__ = ["TRIP", "match"]

TRIP = np.dtype(
    [
        (name, np.float64)
        for name in ("sign", "size", "largest", "entered", "left", "fees", "funding", "paid", "settled")
    ]
)
"""The open trade of a symbol; `sign` is 0 without one.

`entered` and `left` are values of entries and exits: the sum of size * price, of an inverse contract of size / price.
`paid` is all funding of the symbol, `settled` what of it has been given to trades.
"""

_DUST = 1e-9


@compiled
def match(trip: Any, money: Any, count: Any, c: Any, size: float, price: float, fee: float) -> None:
    """Add a fill to the trade of a symbol; a fill beyond flat ends it and begins the next."""
    if trip.sign != 0.0:
        trip.funding += trip.paid - trip.settled
    trip.settled = trip.paid
    sign, rest = 1.0 if size > 0.0 else -1.0, abs(size)
    if trip.sign == -sign:
        leaving = min(rest, trip.size)
        trip.size -= leaving
        trip.left += _value(c, leaving, price)
        trip.fees += fee * leaving / abs(size)
        rest -= leaving
        if trip.size <= _DUST * trip.largest:
            _close(trip, money, count, c, price)
    if rest > _DUST * abs(size):
        if trip.sign == 0.0:
            trip.sign = sign
            trip.size = trip.largest = trip.entered = trip.left = trip.fees = trip.funding = 0.0
        trip.size += rest
        trip.largest = max(trip.largest, trip.size)
        trip.entered += _value(c, rest, price)
        trip.fees += fee * rest / abs(size)


@compiled
def _close(trip: Any, money: Any, count: Any, c: Any, price: float) -> None:
    gained = trip.left + _value(c, trip.size, price) - trip.entered
    net = trip.sign * c.mult * (-gained if c.inverse else gained) - trip.fees - trip.funding
    count[TRADES] += 1
    if net > 0.0:
        count[WINS] += 1
        money[WON] += net
    else:
        money[LOST] -= net
    trip.sign = 0.0


@compiled
def _value(c: Any, size: float, price: float) -> float:
    return size / price if c.inverse else size * price
