"""Rules of the whole account: its drawdown stop and ruin, and the leverage cap over all symbols. Pure functions."""

from __future__ import annotations

import math
from typing import NamedTuple

from .reasons import HOLD, KEEPS, KILL_SWITCH, STALE, TRADE
from .rules import Rules

__all__ = ["AccountState", "cap_factor", "capped", "exposure_of", "watch_equity"]


class AccountState(NamedTuple):
    """What an account remembers of its equity.

    Attributes:
        peak: highest equity so far.
        floor: equity at or below which trading ends for good, of the present peak.
        ruined: equity has been at or below 0.
        stopped: equity has been at or below `floor`.
    """

    peak: float = -math.inf
    floor: float = 0.0
    ruined: bool = False
    stopped: bool = False


def watch_equity(rules: Rules, state: AccountState, equity: float) -> AccountState:
    """Return the state after a bar at whose close the account was worth `equity`; a stop is for good."""
    peak, floor = state.peak, state.floor
    if equity > peak:
        peak, limit = equity, rules.max_drawdown_stop
        floor = max(equity * (1 - limit), 0.0) if limit else 0.0
    return AccountState(
        peak, floor, state.ruined or equity <= 0.0, state.stopped or (floor > 0.0 and equity <= floor)
    )


def exposure_of(size: float, price: float, equity: float) -> float:
    """Return a position as a signed fraction of equity; without equity nothing counts as held."""
    if not size or equity <= 0:
        return 0.0
    return size * price / equity


def cap_factor(rules: Rules, targets: list[float], others: float) -> float:
    """Return the factor for all targets of a bar that keeps the account within `Rules.leverage`; 1 where it is.

    `others` is the gross exposure of symbols without a target at this bar.
    """
    gross = sum(abs(target) for target in targets)
    room = max(rules.leverage - others, 0.0)
    return 1.0 if gross <= room else room / gross


def capped(
    rules: Rules, target: float, code: int, exposure: float, symbols: int, factor: float
) -> tuple[float, int]:
    """Return target and code of a symbol's decision after the leverage cap.

    What is held shrinks with the rest, but no step inside the rebalance band is made: drift may pass the cap as
    long as that is not worth an order. What a late bar or the kill switch keeps is not touched.
    """
    if target == 0.0 or code in (KILL_SWITCH, STALE):
        return target, code
    target *= factor
    if target != 0.0 and abs(target - exposure) * symbols < rules.rebalance_band:
        return exposure, code if code in KEEPS else HOLD
    return target, TRADE
