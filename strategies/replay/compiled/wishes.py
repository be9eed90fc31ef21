"""What forecasts ask for at each close, whatever the account is; in compiled form."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from scorenet.base.times import float_days

from ...decision import NO_FORECAST, REDUCED, TRADE, WARMUP, Forecast, asked, is_silent
from ..columns import BARS, CLOCK, HAS_BAR, MISSING, SIGNAL, STAMP
from .jit import allocating, compiled, inlined

__all__ = [
    "BLOCK",
    "DRIFT",
    "EXPIRED",
    "NOTHING",
    "OUTSIDE",
    "WARMING",
    "Wishes",
    "asking_pass",
    "is_open",
    "look_ahead",
    "new_wishes",
]

NOTHING = 255
"""Code of a close at which nothing is decided."""

EXPIRED, DRIFT, OUTSIDE, WARMING = 1, 2, 4, 8
"""Bits of `Wishes.flags`."""

BLOCK = 512
"""Size of `Wishes.sums`."""


class _Asking(NamedTuple):
    """The fields of `Observation` that `decision.asked` reads."""

    signal: float
    density_rank: float
    silent: bool
    expired: bool
    drift: bool
    outside_regimes: bool


class Wishes(NamedTuple):
    """What the forecasts of one set ask for at each close, as `decision.asked` returns it, and working memory.

    Attributes:
        target, code: target and code [U, N]; NOTHING where a symbol is not decided on.
        mean: expected return, the mean of the forecasts in force [U, N]; only with a `cost_band`.
        until: number of the next close, from each one on, at which a target of any symbol may be traded [U].
        work: lines of values [5, slots].
        flags: what the second half of the pass must know of a close [U].
        sums: sums of a block of bars.
    """

    target: Any
    code: Any
    mean: Any
    until: Any
    work: Any
    flags: Any
    sums: Any


@allocating
def new_wishes(symbols: int, closes: int, slots: int) -> Wishes:
    """Return empty wishes; `slots` is the largest number of bars of a symbol, missing ones and window included."""
    return Wishes(
        np.zeros((closes, symbols)),
        np.zeros((closes, symbols), dtype=np.uint8),
        np.zeros((closes, symbols)),
        np.zeros(closes, dtype=np.int64),
        np.zeros((5, slots)),
        np.zeros(closes, dtype=np.uint8),
        np.zeros(BLOCK),
    )


@compiled
def asking_pass(m: Any, s: int, rules: Any, span: Any, wishes: Wishes, reasons: Any) -> None:
    """Turn the forecasts in force of symbol `s` into what they ask for, and count the codes from `first` on."""
    window = int(rules.forecast_window)
    line, returns, ranks, end = wishes.work[0], wishes.work[1], wishes.work[4], window
    for u in range(m.shape[2]):
        code = NOTHING
        if not m[HAS_BAR, s, u]:
            if _is_silent(m, s, u, rules, span):
                seen: Any = _Asking(math.nan, math.nan, True, False, False, False)
                _, code = asked(rules, seen, NO_FORECAST)
        elif m[BARS, s, u] <= span.lookback or wishes.flags[u] == WARMING:
            code = WARMUP
        else:
            if window > 1 and end > window:
                end += min(int(m[MISSING, s, u]), window)
            flags = wishes.flags[u]
            seen = _Asking(
                m[SIGNAL, s, u],
                ranks[u],
                False,
                flags & EXPIRED != 0,
                flags & DRIFT != 0,
                flags & OUTSIDE != 0,
            )
            found = Forecast(line[end], math.nan, returns[end], int(wishes.code[u, s]))
            wishes.target[u, s], code = asked(rules, seen, found)
            wishes.mean[u, s] = returns[end]
            end += 1
        wishes.code[u, s] = code
        if code != NOTHING and u >= span.first:
            reasons[code] += 1


@inlined
def _is_silent(m: Any, s: int, u: int, rules: Any, span: Any) -> bool:
    """Return whether a symbol without a bar at a close is silent there; an ended market is not."""
    bars, stamp = m[BARS, s, u], m[STAMP, s, u]
    if rules.stale_after == 0.0 or bars == 0:
        return False
    if bars == span.total[s] and m[CLOCK, 0, u] >= stamp + span.bar_ms:
        return False
    return is_silent(rules, float_days(m[CLOCK, 0, u]) - float_days(stamp), span.bar_ms / 86_400_000)


@compiled
def look_ahead(wishes: Wishes) -> None:
    """Write `Wishes.until`."""
    closes, symbols = wishes.code.shape
    ahead = closes
    for u in range(closes - 1, -1, -1):
        for s in range(symbols):
            if is_open(wishes.code[u, s]):
                ahead = u
        wishes.until[u] = ahead


@inlined
def is_open(code: int) -> bool:
    """Return whether a code of `Wishes` is that of a target that may be traded."""
    return code in (TRADE, REDUCED)
