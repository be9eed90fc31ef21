"""The equity of the whole account: drawdown stop and ruin; pure functions."""

from __future__ import annotations

import math
from typing import NamedTuple

from .rules import Rules

__all__ = ["AccountState", "exposure_of", "watch_equity"]


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
