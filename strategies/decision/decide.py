"""Decide the target exposure of a symbol and its reason: pure functions of plain numbers.

`choose` lets the first of these decide: warm-up, kill switch, late bar, doubtful bar, account, age of the model, stale
data, drift, regime, density, signal, direction, size, and finally the bands and the cool-down. Its two parts are
`asked`, which no account can change, and `settled`: the replay computes the first for all closes before the account.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .facts import Decision, Observation
from .forecast import Forecast, forecast_of
from .position import POSITION_RULES
from .reasons import (
    BELOW_MINIMUM,
    COOLDOWN,
    DIRECTION,
    DOUBTFUL,
    DRAWDOWN_STOP,
    DRIFT,
    EXPIRED,
    HOLD,
    KEEPS,
    KILL_SWITCH,
    OUT_OF_DISTRIBUTION,
    REASONS,
    REDUCED,
    REGIME,
    RUINED,
    STALE,
    TRADE,
    WARMUP,
)
from .rules import Rules

__all__ = ["agreement", "asked", "choose", "decide", "is_silent", "may_order", "settled", "with_order"]

_DUST = 1e-9  # of a step: the quotient of two decimals may fall just short of a whole number


def decide(rules: Rules, seen: Observation) -> Decision:
    """Decide one bar of one symbol, before the leverage cap over all symbols and the exchange's minimum order size.

    If a filter sets the target to 0, the position is always closed: neither the rebalance band nor the cool-down
    prevents it. Only the forecast of this bar counts, as with `forecast_window=1`.

    Raises:
        ValueError: the position rule did not return a finite number.
    """
    target, code = choose(rules, seen, forecast_of(rules, seen, POSITION_RULES[rules.position_rule]))
    return Decision(target, REASONS[code])


def choose(rules: Rules, seen: Observation, forecast: Forecast) -> tuple[float, int]:
    """Return the target and the reason code, given what the forecasts in force ask for."""
    target, code = asked(rules, seen, forecast)
    return settled(rules, seen, target, code, forecast.expected_return)


def asked(rules: Rules, seen: Observation, forecast: Forecast) -> tuple[float, int]:
    """Return the target that model and forecasts ask for, whatever the account is, and its code.

    The code is TRADE or REDUCED if the target may be traded; otherwise the target is 0 and the code says why.
    """
    if seen.expired:
        return 0.0, EXPIRED
    signal, rank = seen.signal, seen.density_rank
    if seen.silent or signal != signal or rank != rank:  # NaN if the market state is undefined
        return 0.0, STALE
    if seen.drift:
        return 0.0, DRIFT
    if seen.outside_regimes:
        return 0.0, REGIME
    floor = rules.closing_rank
    if rank < floor:
        return 0.0, OUT_OF_DISTRIBUTION
    target = forecast.exposure
    if target == 0.0 and forecast.code != TRADE:
        return 0.0, forecast.code
    if target * rules.side < 0.0:
        return 0.0, DIRECTION
    code = TRADE if forecast.code == TRADE else REDUCED
    if rules.novelty_scaling and rank - floor < rules.novelty_scaling:
        target, code = target * ((rank - floor) / rules.novelty_scaling), REDUCED
    if rules.exposure_step:
        target = _stepped(rules, target)
    return target, code


def settled(
    rules: Rules, seen: Observation, target: float, code: int, expected_return: float
) -> tuple[float, int]:
    """Return the target and the reason code, given what `asked` returned and the mean of the forecasts in force.

    Of `seen` it reads the conditions and the account, and what a change costs and risks.
    """
    if seen.warming and not seen.silent:
        return 0.0, WARMUP
    if seen.kill_switch:
        return (0.0 if seen.flatten else seen.exposure), KILL_SWITCH
    if seen.late:
        return seen.exposure, STALE
    if seen.doubtful:
        return seen.exposure, DOUBTFUL
    if seen.ruined:
        return 0.0, RUINED
    if seen.stopped:
        return 0.0, DRAWDOWN_STOP
    if code not in (TRADE, REDUCED):
        return 0.0, code
    if seen.symbols == math.inf:
        return 0.0, TRADE if seen.exposure else HOLD
    # Each symbol has its part of the capital, and the bands are fractions of that part.
    held = seen.exposure * seen.symbols
    # A kept position is returned as `seen.exposure`, which rounding can make different from `held / seen.symbols`.
    if target != 0.0 and abs(target - held) < rules.rebalance_band:
        return seen.exposure, HOLD
    if rules.cost_band and not _pays(rules, seen, expected_return, held, target):
        return seen.exposure, HOLD
    adds = abs(target) > abs(held) or target * held < 0
    if rules.cooldown and adds and seen.bars_since_fill < rules.cooldown:
        return seen.exposure, COOLDOWN
    if target == held:
        return seen.exposure, HOLD
    return target / seen.symbols, code


def may_order(seen: Observation, code: int) -> bool:
    """Return whether an order may be sent: not for a kept position, on a late bar, or if the kill switch keeps it.

    The kill switch closes positions on a doubtful bar too.
    """
    if code in KEEPS or seen.late:
        return False
    return seen.flatten if seen.kill_switch else not seen.doubtful


def with_order(code: int, target: float, size: float) -> int:
    """Return the final reason code: a change that the lot step rounds to 0 is not a trade."""
    return BELOW_MINIMUM if code in (TRADE, REDUCED) and size == 0.0 and target != 0.0 else code


def is_silent(rules: Rules, age: float, bar: float) -> bool:
    """Return whether a symbol is silent; `age` (time since its last close) and `bar` (bar size) have the same unit."""
    limit = rules.stale_after
    return limit > 0 and age > limit * bar + bar / 2


def agreement(signals: Sequence[float] | NDArray[np.float64], window: int) -> float:
    """Return the share of the last `window` signals with the same sign as the latest; 1 if there is only one."""
    count = min(len(signals), window)
    if count == 0 or window <= 1:
        return 1.0
    sign, same = math.copysign(1.0, signals[-1]), 0
    for k in range(len(signals) - count, len(signals)):
        if signals[k] * sign > 0:
            same += 1
    return same / count


def _stepped(rules: Rules, target: float) -> float:
    """Return the nearest multiple of `exposure_step` that `max_exposure` allows."""
    step, limit = rules.exposure_step, rules.max_exposure
    steps = min(round(abs(target) / step), math.floor(limit / step + _DUST))
    return math.copysign(min(steps * step, limit), target) if steps else 0.0


def _pays(rules: Rules, seen: Observation, mean: float, held: float, target: float) -> bool:
    """Return whether a change of exposure earns more than `cost_band` times its cost, by the Kelly utility."""
    cost = rules.cost_band * seen.cost * abs(target - held)
    risk = seen.return_std * seen.return_std / (2.0 * rules.kelly_fraction)
    return cost == 0.0 or (target - held) * (mean - risk * (target + held)) > cost
