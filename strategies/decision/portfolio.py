"""Rules of the whole account: drawdown stop, ruin, and the leverage cap over all symbols; pure functions."""

from __future__ import annotations

import math
from typing import NamedTuple

from .reasons import HOLD, KEEPS, KILL_SWITCH, REDUCED, STALE, TRADE
from .rules import Rules

__all__ = ["AccountState", "cap_factor", "capped", "exposure_of", "watch_equity"]


class AccountState(NamedTuple):
    """The state of an account's equity (quote currency) over a run.

    Attributes:
        peak: highest equity so far.
        floor: equity at or below which the drawdown stop ends trading for good; it rises with the peak.
        ruined: equity has been at or below 0.
        stopped: equity has been at or below `floor`.
    """

    peak: float = -math.inf
    floor: float = 0.0
    ruined: bool = False
    stopped: bool = False


def watch_equity(rules: Rules, state: AccountState, equity: float) -> AccountState:
    """Return the state after a bar with `equity` at its close; a stop is permanent."""
    peak, floor = state.peak, state.floor
    if equity > peak:
        peak, limit = equity, rules.max_drawdown_stop
        floor = max(equity * (1 - limit), 0.0) if limit else 0.0
    return AccountState(
        peak, floor, state.ruined or equity <= 0.0, state.stopped or (floor > 0.0 and equity <= floor)
    )


def exposure_of(size: float, price: float, equity: float) -> float:
    """Return a position as a signed fraction of equity; 0.0 without equity."""
    if not size or equity <= 0:
        return 0.0
    return size * price / equity


def cap_factor(rules: Rules, targets: list[float], others: float) -> float:
    """Return the factor that scales all targets of a bar so that gross exposure is at most `Rules.leverage`.

    It is 1 if the cap is not exceeded. `others` is the gross exposure of symbols without a target at this bar.
    """
    gross = sum(abs(target) for target in targets)
    room = max(rules.leverage - others, 0.0)
    return 1.0 if gross <= room else room / gross


def capped(
    rules: Rules, target: float, code: int, exposure: float, symbols: int, factor: float
) -> tuple[float, int]:
    """Return the target and reason code of a symbol's decision after the leverage cap.

    Kept positions are scaled too, but a change inside the rebalance band is not traded. So price drift may raise gross
    exposure slightly above the cap. Positions kept because of a late bar or the kill switch are not scaled.
    """
    if target == 0.0 or code in (KILL_SWITCH, STALE):
        return target, code
    target *= factor
    if target != 0.0 and abs(target - exposure) * symbols < rules.rebalance_band:
        return exposure, code if code in KEEPS else HOLD
    return target, REDUCED if code == REDUCED else TRADE
