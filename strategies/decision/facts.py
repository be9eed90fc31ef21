"""The inputs and the result of a decision: named fields of plain numbers."""

from __future__ import annotations

import math
from typing import NamedTuple

__all__ = ["Conditions", "Decision", "Observation"]


class Conditions(NamedTuple):
    """Conditions that apply to all symbols of an account.

    Attributes:
        late: a newer bar had already closed when the current bar arrived; no order is sent on a late bar.
        halted: the kill switch is on.
        flatten: the kill switch also closes the positions.
        doubtful: the exchange's stamps contradict each other; no order is sent on such a bar.
    """

    late: bool = False
    halted: bool = False
    flatten: bool = False
    doubtful: bool = False


class Observation(NamedTuple):
    """The observation of one symbol at a bar's close; fields not listed here are those of `scorenet.Evaluation`.

    Attributes:
        annual_volatility: annual volatility of the symbol's log-returns.
        agreement: share of the signals in the consistency window with the sign of the latest signal.
        exposure: present position, signed fraction of the account's equity.
        bars_since_fill: bars since the symbol's last fill, 0 at the close of the bar of the fill.
        symbols: the capital over the part on which the symbol decides: the number of symbols if all parts are equal,
            infinity for a symbol without a part.
        warming: the model needs more bars, or trading has not begun.
        silent: the symbol has had no bar for longer than `Rules.stale_after`.
        late, kill_switch, flatten, doubtful: see `Conditions`; `kill_switch` is its `halted`.
        ruined: equity has been at or below 0.
        stopped: equity has fallen from its peak by `Rules.max_drawdown_stop`.
        cost: cost of a market order, fraction of its value.
        expired: the model ended its training longer than `Rules.expire_after` ago.
        drift: the share of rejected bars is above its calibrated level (`Rules.drift_alarm`).
        outside_regimes: the bar's regime is none of `Rules.regimes`, or not known yet.
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
    symbols: float = 1.0
    warming: bool = False
    silent: bool = False
    late: bool = False
    kill_switch: bool = False
    flatten: bool = False
    doubtful: bool = False
    ruined: bool = False
    stopped: bool = False
    log_density: float = math.nan
    expected_return: float = math.nan
    return_std: float = math.nan
    lower_tail: float = math.nan
    upper_tail: float = math.nan
    cost: float = 0.0
    strength: float = math.nan
    expired: bool = False
    drift: bool = False
    outside_regimes: bool = False


class Decision(NamedTuple):
    """The target exposure (signed fraction of the account's equity) and its reason, one of `REASONS`."""

    target: float
    reason: str
