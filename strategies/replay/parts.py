"""The parts of the capital over time: they follow from rules and market, whatever an account does."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scorenet.base.times import DAY_MS, float_days

from ..datas import HALF_SECOND
from ..decision import ALLOCATIONS, ActiveSymbols, Rules, divisors, is_silent
from ..shared_capital import full_exposure
from .market import ReplayMarket

__all__ = ["Parts", "PartsOfMarket"]


class Parts(NamedTuple):
    """The capital over each symbol's part [E, N], from the closes with the numbers `at` [E] on."""

    at: NDArray[np.int64]
    value: NDArray[np.float64]


class _Events(NamedTuple):
    """The closes at which the capital is divided [E], and who is active and how volatile then [E, N]."""

    at: NDArray[np.int64]
    active: NDArray[np.bool_]
    volatility: NDArray[np.float64]


class PartsOfMarket:
    """Divide the capital as `SharedCapital` does, for many rules on one market; what they share is computed once."""

    def __init__(self, market: ReplayMarket) -> None:
        self._market = market
        self._events: dict[tuple[float, float], _Events] = {}
        self._equal: dict[float, Parts] = {}

    def of(self, rules: Rules) -> Parts:
        """Return the parts for a set of rules; their allocation must need no covariance.

        Raises:
            ValueError: the allocation did not return weights.
        """
        if rules.allocation == "equal":
            if rules.stale_after not in self._equal:
                self._equal[rules.stale_after] = self._divide(rules)
            return self._equal[rules.stale_after]
        return self._divide(rules)

    def _divide(self, rules: Rules) -> Parts:
        events = self._events_of(rules)
        allocation, names = ALLOCATIONS[rules.allocation], np.array(self._market.facts.symbols)
        value = np.empty(events.active.shape)
        latest = np.full(len(names), float(len(names)))
        for row, (active, volatility) in enumerate(zip(events.active, events.volatility, strict=True)):
            known = volatility[active]
            facts = ActiveSymbols(tuple(names[active].tolist()), known, full_exposure(rules, known))
            latest[active] = divisors(rules.allocation, allocation(rules, facts), int(active.sum()))
            value[row] = latest
        return Parts(events.at, value)

    def _events_of(self, rules: Rules) -> _Events:
        # Equal parts follow from the number of symbols alone.
        every = float(rules.allocation_every) if rules.allocation != "equal" else np.inf
        key = (every, float(rules.stale_after))
        if key not in self._events:
            self._events[key] = self._find_events(rules, every)
        return self._events[key]

    def _find_events(self, rules: Rules, every: float) -> _Events:
        market, facts = self._market, self._market.facts
        clock, bars, has_bar = market.clock, market.column("bars"), market.column("has_bar") > 0.0
        stamp = market.column("stamp").astype(np.int64)
        now, step = float_days(clock), facts.bar_ms / DAY_MS
        ended = ~has_bar & (bars == bars[:, -1:]) & (clock >= stamp + facts.bar_ms)
        gone = ended & (bars > 0)
        if rules.stale_after:
            age = now - float_days(stamp)
            silent = np.vectorize(lambda one: is_silent(rules, one, step))(age)
            gone |= ~has_bar & (bars > 0) & ~ended & silent
        active = _latest(has_bar & (bars > facts.lookback), gone)
        before = np.column_stack([np.zeros(len(active), dtype=bool), active[:, :-1]])
        time = now if facts.calendar is None else facts.clock.trading_ms(clock) / DAY_MS
        slot = np.trunc((time + HALF_SECOND) / (every * step))
        due = np.diff(slot, prepend=-1.0) != 0.0
        at = np.flatnonzero((due | (active != before).any(axis=0)) & active.any(axis=0))
        volatility = market.column("annual_volatility")
        return _Events(at, active[:, at].T.copy(), _last_known(volatility[:, at].T, active[:, at].T))


def _latest(on: NDArray[np.bool_], off: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the state [N, U] that `on` switches on and `off` switches off."""
    index = np.arange(on.shape[1])
    last_on = np.maximum.accumulate(np.where(on, index, -1), axis=1)
    last_off = np.maximum.accumulate(np.where(off, index, -1), axis=1)
    found: NDArray[np.bool_] = last_on > last_off
    return found


def _last_known(values: NDArray[np.float64], read: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return values [E, N] with NaN replaced by the last known value that was read before, of each column."""
    out, last = np.empty(values.shape), np.full(values.shape[1], np.nan)
    for row, (now, reads) in enumerate(zip(values, read, strict=True)):
        last = np.where(reads & ~np.isnan(now), now, last)
        out[row] = last
    return out
