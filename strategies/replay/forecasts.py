"""The first pass of a set: what each symbol's forecasts ask for at every bar, which no account can change."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from scorenet.conformal.adaptive import adapted

from ..decision import NO_FORECAST, agreement, confidence, cvar, filtered, is_unknown, kelly, proportional
from .compiled import compiled, shared

__all__ = [
    "DRIFT",
    "EXPIRED",
    "FEW",
    "OUTSIDE",
    "WARMING",
    "Forecasts",
    "ModelFacts",
    "builtin_rule",
    "new_forecasts",
    "pass_of",
]

WARMING, EXPIRED, DRIFT, OUTSIDE, FEW = 1, 2, 4, 8, 16
"""Bits of `Forecasts.flags`; FEW: too few bars for the model."""

_BLOCK = 512


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


class Forecasts(NamedTuple):
    """The forecasts in force at each bar of one set [N, U], then working memory of the pass.

    `exposure` and `expected` are means over the forecast window, `rank` is the adapted rank, `code` the reason code.
    """

    exposure: Any
    expected: Any
    rank: Any
    code: Any
    flags: Any
    line: Any
    returns: Any
    place: Any
    signals: Any
    rejected: Any


@compiled
def new_forecasts(symbols: int, closes: int, slots: int) -> Forecasts:
    """Return empty forecasts; `slots` is the largest number of bars of a symbol, missing ones and window included."""
    return Forecasts(
        np.zeros((symbols, closes)),
        np.zeros((symbols, closes)),
        np.zeros((symbols, closes)),
        np.zeros((symbols, closes), dtype=np.int8),
        np.zeros((symbols, closes), dtype=np.uint8),
        np.zeros(slots),
        np.zeros(slots),
        np.zeros(closes, dtype=np.int64),
        np.zeros(closes),
        np.zeros(closes, dtype=np.bool_),
    )


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

    The pass fills `out` for symbol `s` and returns (bars with a known state, bars in distribution) from the close
    number `first` on; (-1, close number) if the position rule gave no finite number.
    """

    @compiled
    def forecast_pass(
        m: Any,
        s: int,
        rules: Any,
        span: Any,
        cost: float,
        expiry: Any,
        allowed: Any,
        out: Forecasts,
    ) -> tuple[int, int]:
        level, rate, window = rules.density_quantile, rules.density_adaptation, int(rules.forecast_window)
        adapts, threshold = rate > 0.0 and 0.0 < level < 1.0, rules.density_quantile
        consistency, alarm_window = int(rules.consistency_window), int(rules.drift_window)
        decided = known = inside = ranked = refused = 0
        end = window
        out.line[:window] = 0.0
        out.returns[:window] = 0.0
        for u in range(m.close_ms.shape[0]):
            if not m.has_bar[s, u]:
                continue
            if m.bars[s, u] <= span.lookback:
                out.flags[s, u] = FEW
                continue
            rank, signal = m.density_rank[s, u], m.signal[s, u]
            number = m.model[s, u] if m.model[s, u] >= 0 else expiry.shape[0] - 1
            drift = outside = False
            if rules.drift_limit > 0.0 and rank == rank:
                out.rejected[ranked] = rank < level
                refused += out.rejected[ranked]
                if ranked >= alarm_window:
                    refused -= out.rejected[ranked - alarm_window]
                ranked += 1
                drift = refused >= rules.drift_limit
            expired = m.stamp[s, u] > expiry[number]
            if rules.has_regimes:
                outside = m.regime[s, u] < 0 or not allowed[number, m.regime[s, u]]
            if adapts and rank == rank:
                rank, threshold = adapted(rank, threshold, level, rate)
            share = 1.0
            if consistency > 0:
                out.signals[decided] = signal
                share = agreement(out.signals[: decided + 1], consistency)
            decided += 1
            warming = m.stamp[s, u] < span.trade_from
            seen = ModelFacts(
                m.score[s, u],
                signal,
                m.confidence[s, u],
                m.score_std[s, u],
                rank,
                m.annual_volatility[s, u],
                share,
                warming,
                False,
                m.log_density[s, u],
                m.expected_return[s, u],
                m.return_std[s, u],
                m.lower_tail[s, u],
                m.upper_tail[s, u],
                cost,
                m.strength[s, u],
                expired,
                drift,
                outside,
            )
            exposure, expected, code = NO_FORECAST.exposure, NO_FORECAST.expected_return, NO_FORECAST.code
            if not is_unknown(seen):
                wanted = float(position(rules, seen))
                if not math.isfinite(wanted):
                    return -1, u
                found = filtered(rules, seen, wanted)
                exposure, expected, code = found.exposure, found.expected_return, found.code
            out.rank[s, u] = rank
            out.code[s, u] = code
            out.flags[s, u] = WARMING * warming + EXPIRED * expired + DRIFT * drift + OUTSIDE * outside
            out.exposure[s, u] = exposure
            out.expected[s, u] = expected
            if not warming:
                if u >= span.first and rank == rank:
                    known += 1
                    inside += rank >= level
                if window > 1:
                    if end > window:
                        for _ in range(min(m.missing[s, u], window)):
                            out.line[end] = out.returns[end] = 0.0
                            end += 1
                    out.line[end], out.returns[end] = exposure, expected
                    out.place[u] = end
                    end += 1
        if window > 1:
            _hold(out.line, end, window)
            if rules.cost_band > 0.0:
                _hold(out.returns, end, window)
            for u in range(m.close_ms.shape[0]):
                if m.has_bar[s, u] and not out.flags[s, u] & (FEW | WARMING):
                    out.exposure[s, u] = out.line[out.place[u]]
                    out.expected[s, u] = out.returns[out.place[u]]
        return known, inside

    return forecast_pass


@compiled
def _hold(line: Any, end: int, window: int) -> None:
    """Replace each value from `window` to `end` by the mean of the last `window` values, as `HeldForecasts` adds them.

    The sums of a block are built side by side: each is added in the same order as a sum alone, only faster.
    """
    sums = np.empty(_BLOCK)
    # From the end: a mean is written where no later mean reads.
    stop = end
    while stop > window:
        start = max(stop - _BLOCK, window)
        count = stop - start
        sums[:count] = 0.0
        for back in range(window - 1, -1, -1):
            for k in range(count):
                sums[k] += line[start + k - back]
        for k in range(count):
            line[start + k] = sums[k] / window
        stop = start
