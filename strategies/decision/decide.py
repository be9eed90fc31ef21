"""From what is known of a symbol to a target exposure and the reason for it: pure functions of plain numbers.

The order of the checks is that of `choose`: warm-up, the kill switch and late bars, the account, the data, the
density, the signal, the size, and last whether the step is worth its cost.
"""

from __future__ import annotations

import math

from .facts import Decision, Observation
from .position import POSITION_RULES, PositionRule
from .reasons import (
    BELOW_MINIMUM,
    COOLDOWN,
    DRAWDOWN_STOP,
    HOLD,
    INCONSISTENT,
    KEEPS,
    KILL_SWITCH,
    LOW_CONFIDENCE,
    OUT_OF_DISTRIBUTION,
    REASONS,
    RUINED,
    STALE,
    TRADE,
    WARMUP,
)
from .rules import Rules

__all__ = ["agreement", "choose", "decide", "is_silent", "may_order", "with_order"]


def decide(rules: Rules, seen: Observation) -> Decision:
    """Decide one bar of one symbol, but for the leverage cap over all symbols and the exchange's smallest order.

    Leaving the market needs no permission: neither the band nor the cool-down keeps a position that a filter has
    closed.
    """
    target, code = choose(rules, seen, POSITION_RULES[rules.position_rule])
    return Decision(target, REASONS[code])


def choose(rules: Rules, seen: Observation, position: PositionRule) -> tuple[float, int]:
    """Return target and code of the reason as `decide` does, given the function that `Rules.position_rule` names.

    Raises:
        ValueError: the position rule did not return a finite number.
    """
    if seen.warming and not seen.silent:
        return 0.0, WARMUP
    if seen.kill_switch:
        return (0.0 if seen.flatten else seen.exposure), KILL_SWITCH
    if seen.late:
        return seen.exposure, STALE
    if seen.ruined:
        return 0.0, RUINED
    if seen.stopped:
        return 0.0, DRAWDOWN_STOP
    signal, rank = seen.signal, seen.density_rank
    if seen.silent or signal != signal or rank != rank:  # NaN: the state is not defined
        return 0.0, STALE
    if rank < rules.density_quantile:
        return 0.0, OUT_OF_DISTRIBUTION
    if seen.confidence < rules.confidence_threshold:
        return 0.0, LOW_CONFIDENCE
    if rules.consistency_window and seen.agreement < rules.consistency_share:
        return 0.0, INCONSISTENT
    # A symbol decides on its part of the capital: the band is a fraction of that part.
    held = seen.exposure * seen.symbols
    target = _bounded(rules, position(rules, seen))
    # What is kept is kept to the last bit: held / symbols need not be the exposure.
    if target != 0.0 and abs(target - held) < rules.rebalance_band:
        return seen.exposure, HOLD
    adds = abs(target) > abs(held) or target * held < 0
    if rules.cooldown and adds and seen.bars_since_fill < rules.cooldown:
        return seen.exposure, COOLDOWN
    if target == held:
        return seen.exposure, HOLD
    return target / seen.symbols, TRADE


def may_order(seen: Observation, code: int) -> bool:
    """Say whether an order may follow a decision: not where the position is kept, on a late bar or when halted."""
    return code not in KEEPS and not seen.late and (not seen.kill_switch or seen.flatten)


def with_order(code: int, target: float, size: float) -> int:
    """Return the code of the reason once the order is known: a step that the lot rounds to nothing is not a trade."""
    return BELOW_MINIMUM if code == TRADE and size == 0.0 and target != 0.0 else code


def is_silent(rules: Rules, age: float, bar: float) -> bool:
    """Say whether a symbol is silent: its last bar closed `age` ago, a bar is `bar` long, in the same unit."""
    limit = rules.stale_after
    return limit > 0 and age > limit * bar + bar / 2


def agreement(signals: list[float], window: int) -> float:
    """Return the share of the last `window` signals whose sign is that of the latest; 1 while there is only one."""
    if not signals or window <= 1:
        return 1.0
    recent = signals[-window:]
    sign = math.copysign(1.0, recent[-1])
    return sum(1 for value in recent if value * sign > 0) / len(recent)


def _bounded(rules: Rules, target: float) -> float:
    limit = rules.max_exposure
    if -limit <= target <= limit:
        return target
    if not math.isfinite(target):
        raise ValueError(
            f"position_rule {rules.position_rule!r}: expected a finite exposure, found {target!r}"
        )
    return math.copysign(limit, target)
