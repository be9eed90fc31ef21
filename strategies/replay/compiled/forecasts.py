"""The first pass of a set: what each symbol's forecasts ask for at every bar, which no account can change."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from scorenet.conformal.adaptive import adapted

from ...decision import NO_FORECAST, agreement, confidence, cvar, filtered, is_unknown, kelly, proportional
from ..columns import (
    ANNUAL_VOLATILITY,
    BARS,
    CONFIDENCE,
    DENSITY_RANK,
    EXPECTED_RETURN,
    HAS_BAR,
    LOG_DENSITY,
    LOWER_TAIL,
    MISSING,
    MODEL,
    REGIME,
    RETURN_STD,
    SCORE,
    SCORE_STD,
    SIGNAL,
    STAMP,
    STRENGTH,
    UPPER_TAIL,
)
from .jit import allocating, compiled, shared
from .wishes import BLOCK, DRIFT, EXPIRED, OUTSIDE, WARMING, Wishes

__all__ = ["ModelFacts", "builtin_rule", "pass_of"]


class ModelFacts(NamedTuple):
    """The fields of `Observation` that do not depend on the account: all that a compiled position rule can read."""

    score: float
    signal: float
    confidence: float
    score_std: float
    density_rank: float
    annual_volatility: float
    agreement: float
    warming: bool
    silent: bool
    log_density: float
    expected_return: float
    return_std: float
    lower_tail: float
    upper_tail: float
    cost: float
    strength: float
    expired: bool
    drift: bool
    outside_regimes: bool


@shared
def builtin_rule(rules: Any, seen: Any) -> float:
    """Return the exposure by the built-in position rule of this number."""
    if rules.position_number == 1.0:
        return proportional(rules, seen)
    if rules.position_number == 0.0:
        return confidence(rules, seen)
    if rules.position_number == 2.0:
        return kelly(rules, seen)
    return cvar(rules, seen)


def pass_of(position: Callable[[Any, Any], float]) -> Any:
    """Return the compiled first pass for a position rule.

    The pass fills `wishes` for symbol `s` and returns (bars with a known state, bars in distribution, bars with a
    confidence, sum of the confidence) from the close number `first` on; (-1, close number, 0, 0) if the position rule
    gave no finite number.
    """

    @(compiled if position is builtin_rule else allocating)
    def forecast_pass(
        m: Any,
        s: int,
        rules: Any,
        span: Any,
        cost: float,
        expiry: Any,
        allowed: Any,
        wishes: Wishes,
    ) -> tuple[int, int, int, float]:
        level, rate, window = rules.density_quantile, rules.density_adaptation, int(rules.forecast_window)
        adapts, threshold = rate > 0.0 and 0.0 < level < 1.0, rules.density_quantile
        consistency, alarm_window = int(rules.consistency_window), int(rules.drift_window)
        line, returns, signals, rejected = wishes.work[0], wishes.work[1], wishes.work[2], wishes.work[3]
        ranks = wishes.work[4]
        decided = known = inside = ranked = sure = 0
        refused = confident = 0.0
        end = window
        for k in range(window):
            line[k] = returns[k] = 0.0
        for u in range(m.shape[2]):
            if not m[HAS_BAR, s, u] or m[BARS, s, u] <= span.lookback:
                continue
            rank, signal = m[DENSITY_RANK, s, u], m[SIGNAL, s, u]
            number = int(m[MODEL, s, u])  # -1, before the first, reads the last: nothing is known then
            drift = outside = False
            if rules.drift_limit > 0.0 and rank == rank:
                rejected[ranked] = rank < level
                refused += rejected[ranked]
                if ranked >= alarm_window:
                    refused -= rejected[ranked - alarm_window]
                ranked += 1
                drift = refused >= rules.drift_limit
            expired = m[STAMP, s, u] > expiry[number]
            if rules.has_regimes:
                outside = m[REGIME, s, u] < 0.0 or not allowed[number, int(m[REGIME, s, u])]
            if adapts and rank == rank:
                rank, threshold = adapted(rank, threshold, level, rate)
            share = 1.0
            if consistency > 0:
                signals[decided] = signal
                share = agreement(signals[: decided + 1], consistency)
            decided += 1
            warming = m[STAMP, s, u] < span.trade_from
            seen: Any = ModelFacts(
                m[SCORE, s, u],
                signal,
                m[CONFIDENCE, s, u],
                m[SCORE_STD, s, u],
                rank,
                m[ANNUAL_VOLATILITY, s, u],
                share,
                warming,
                False,
                m[LOG_DENSITY, s, u],
                m[EXPECTED_RETURN, s, u],
                m[RETURN_STD, s, u],
                m[LOWER_TAIL, s, u],
                m[UPPER_TAIL, s, u],
                cost,
                m[STRENGTH, s, u],
                expired,
                drift,
                outside,
            )
            exposure, expected, code = NO_FORECAST.exposure, NO_FORECAST.expected_return, NO_FORECAST.code
            if not is_unknown(seen):
                wanted = float(position(rules, seen))
                if not math.isfinite(wanted):
                    return -1, u, 0, 0.0
                found = filtered(rules, seen, wanted)
                exposure, expected, code = found.exposure, found.expected_return, found.code
            if warming:
                wishes.flags[u] = WARMING
                continue
            if u >= span.first and rank == rank:
                known += 1
                inside += rank >= level
            if u >= span.first and math.isfinite(seen.confidence):
                sure += 1
                confident += seen.confidence
            if window > 1 and end > window:
                for _ in range(min(int(m[MISSING, s, u]), window)):
                    line[end] = returns[end] = 0.0
                    end += 1
            line[end], returns[end] = exposure, expected
            end += 1
            ranks[u] = rank
            wishes.code[u, s] = code
            wishes.flags[u] = EXPIRED * expired + DRIFT * drift + OUTSIDE * outside
        if window > 1:
            _hold(line, end, window, wishes.sums)
            if rules.cost_band > 0.0:
                _hold(returns, end, window, wishes.sums)
        return known, inside, sure, confident

    return forecast_pass


@compiled
def _hold(line: Any, end: int, window: int, sums: Any) -> None:
    """Replace each value from `window` to `end` by the mean of the last `window` values, as `HeldForecasts` adds them.

    The sums of a block are built side by side: each is added in the same order as a sum alone, only faster.
    """
    # From the end: a mean is written where no later mean reads.
    stop = end
    while stop > window:
        start = max(stop - BLOCK, window)
        count = stop - start
        for k in range(count):
            sums[k] = 0.0
        for back in range(window - 1, -1, -1):
            for k in range(count):
                sums[k] += line[start + k - back]
        for k in range(count):
            line[start + k] = sums[k] / window
        stop = start
