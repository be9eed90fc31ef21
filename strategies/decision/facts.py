"""What a decision is made from, and what it says: named fields, plain numbers."""

from __future__ import annotations

import math
from typing import NamedTuple

__all__ = ["Conditions", "Decision", "Observation"]


class Conditions(NamedTuple):
    """Say what holds for all symbols of an account besides bars and positions.

    Attributes:
        late: the present bar came after a newer one had closed; nothing is traded on it.
        halted: the kill switch is on.
        flatten: the kill switch also closes what is held.
    """

    late: bool = False
    halted: bool = False
    flatten: bool = False


class Observation(NamedTuple):
    """What is known of one symbol at a bar's close; model fields as in `scorenet.Evaluation`.

    Attributes:
        annual_volatility: of the symbol's log-returns.
        agreement: share of the consistency window whose sign is the present one.
        exposure: held now, signed fraction of the account's equity.
        bars_since_fill: of this symbol, 0 at the close of the bar of the fill.
        symbols: how many symbols share the capital; each decides on its part as if it were an account.
        warming: the model lacks bars, or trading has not begun.
        silent: the symbol has had no bar for longer than `Rules.stale_after`.
        late, kill_switch, flatten: see `Conditions`; `kill_switch` is its `halted`.
        ruined: equity has been at or below 0.
        stopped: equity has fallen from its peak by `Rules.max_drawdown_stop`.
    """

    score: float
    signal: float
    confidence: float
    score_std: float
    density_rank: float
    annual_volatility: float
    agreement: float
    exposure: float
    bars_since_fill: float
    symbols: int = 1
    warming: bool = False
    silent: bool = False
    late: bool = False
    kill_switch: bool = False
    flatten: bool = False
    ruined: bool = False
    stopped: bool = False
    log_density: float = math.nan


class Decision(NamedTuple):
    """Where to go and why: target exposure (signed fraction of the account's equity) and one of `REASONS`."""

    target: float
    reason: str
