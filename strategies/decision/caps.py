"""Caps over all symbols of an account: per symbol, gross, net, and the portfolio's volatility; pure functions.

A cap makes targets smaller: never larger, and never of the other sign. Positions that cannot be traded at this bar (of
symbols without a bar, or kept on a late or doubtful bar) count, but only the targets can make room for them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .reasons import DOUBTFUL, HOLD, KEEPS, KILL_SWITCH, REDUCED, STALE, TRADE, WARMUP
from .rules import Rules

__all__ = ["cap_factors", "capped", "fixed_exposure", "has_caps", "scale_to_caps", "volatility_factor"]

Numbers = list[float] | NDArray[np.float64]

_FIXED = (WARMUP, STALE, KILL_SWITCH, DOUBTFUL)
_ROUNDING = 1e-12  # relative: targets that were scaled to a cap must not be scaled again


def has_caps(rules: Rules, symbols: int) -> bool:
    """Return whether the targets of a bar can exceed a cap; otherwise the caps need not be computed."""
    return bool(
        symbols > 1
        or rules.max_exposure > rules.leverage
        or rules.max_symbol_exposure
        or rules.max_net_exposure
        or rules.portfolio_volatility
    )


def fixed_exposure(target: float, code: int, exposure: float, silent: bool) -> float | None:
    """Return the exposure that a symbol will have whatever the caps say; None if its target can be scaled.

    A silent symbol has no bar in which it could be traded, so its position stays even if its target is 0.
    """
    if silent or code == WARMUP:
        return exposure
    return target if code in _FIXED else None


def cap_factors(
    rules: Rules, targets: Sequence[float] | NDArray[np.float64], gross: float = 0.0, net: float = 0.0
) -> list[float]:
    """Return the factor in [0, 1] of each target of a bar, so that together they keep all caps on exposure.

    `gross` and `net` are the sums of |exposure| and exposure of the positions that are not among `targets`, fractions
    of equity. First each target is cut at `max_symbol_exposure`, then all are scaled alike to `leverage`, then the
    side that exceeds `max_net_exposure` is scaled to it.
    """
    factors, exposures = [1.0] * len(targets), [float(target) for target in targets]
    scale_to_caps(rules, factors, exposures, gross, net)
    return factors


def scale_to_caps(rules: Rules, factors: Numbers, exposures: Numbers, gross: float, net: float) -> None:
    """Compute `cap_factors` in place: `factors` are 1 before, `exposures` become the scaled targets."""
    limit, total = rules.max_symbol_exposure, 0.0
    for k in range(len(exposures)):
        size = abs(exposures[k])
        if limit and size > limit * (1.0 + _ROUNDING):
            factors[k] = limit / size
            exposures[k] *= factors[k]
        total += abs(exposures[k])
    room = max(rules.leverage - gross, 0.0)
    if total > room:
        _scale(factors, exposures, 0.0, room / total)
    if rules.max_net_exposure:
        side, factor = _net_factor(rules.max_net_exposure, exposures, net)
        _scale(factors, exposures, side, factor)


def volatility_factor(
    limit: float,
    covariance: NDArray[np.float64],
    targets: NDArray[np.float64],
    fixed: NDArray[np.float64],
) -> float:
    """Return the largest factor in [0, 1] of all targets for which the annual volatility is at most `limit`.

    `covariance` is that of annual log-returns [N, N]; `targets` and `fixed` are exposures [N], `fixed` those that stay.
    If `fixed` alone exceeds the limit, it is the factor with the lowest volatility.
    """
    ours, both = covariance @ targets, covariance @ fixed
    a, b, c = float(targets @ ours), float(targets @ both), float(fixed @ both)
    if a + 2.0 * b + c <= limit * limit * (1.0 + _ROUNDING):
        return 1.0
    if not a > 0.0:
        return 0.0 if b > 0.0 else 1.0
    root = b * b - a * (c - limit * limit)
    return min(max((math.sqrt(max(root, 0.0)) - b) / a, 0.0), 1.0)


def capped(
    rules: Rules, target: float, code: int, exposure: float, symbols: float, factor: float
) -> tuple[float, int]:
    """Return the target and reason code of a symbol's decision after the caps.

    Kept positions are scaled too, but a change inside the rebalance band is not traded. So price drift may raise gross
    exposure slightly above the cap. Positions that stay whatever the caps say are not scaled.
    """
    if target == 0.0 or code in _FIXED:
        return target, code
    target *= factor
    if target == exposure or (target != 0.0 and abs(target - exposure) * symbols < rules.rebalance_band):
        return exposure, code if code in KEEPS else HOLD
    return target, REDUCED if code == REDUCED else TRADE


def _scale(factors: Numbers, exposures: Numbers, side: float, factor: float) -> None:
    """Multiply the factors and exposures of one side (1.0 long, -1.0 short; 0.0 both) by `factor`."""
    for k in range(len(factors)):
        if side == 0.0 or exposures[k] * side > 0.0:
            factors[k] *= factor
            exposures[k] *= factor


def _net_factor(limit: float, targets: Numbers, net: float) -> tuple[float, float]:
    """Return the side (1.0 long, -1.0 short) that is too large, and its factor."""
    ours = 0.0
    for k in range(len(targets)):
        ours += targets[k]
    net += ours
    side = math.copysign(1.0, net)
    excess = abs(net) - limit
    if excess <= limit * _ROUNDING:
        return side, 1.0
    available = 0.0
    for k in range(len(targets)):
        if targets[k] * side > 0.0:
            available += abs(targets[k])
    return side, max(1.0 - excess / available, 0.0) if available else 0.0
