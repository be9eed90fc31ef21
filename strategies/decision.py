"""From what the model says to a target exposure and the reason for it: pure functions, no Backtrader, no state.

The order of the rules is the order of the checks in `choose`: the account first, then the data, then the
density, then the signal, then the size, and last whether the step is worth its cost.
"""

from __future__ import annotations

import math
import numbers
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["REASONS", "Decision", "Observation", "Rules", "agreement", "choose", "decide"]

REASONS = (
    "warmup",
    "trade",
    "hold",
    "out_of_distribution",
    "low_confidence",
    "inconsistent",
    "cooldown",
    "stale",
    "halted",
)


@dataclass(frozen=True, kw_only=True)
class Rules:
    """Thresholds of the decision; 0 (or None) switches a rule off. Exposures are fractions of equity.

    Attributes:
        confidence_threshold: trade only where confidence (ECDF of |score|) reaches it.
        density_quantile: trade only where density_rank reaches it.
        density_adaptation: rate at which the rank follows a drifting market, so that `density_quantile` stays the share
            of bars that it rejects (`scorenet.conformal.adaptive.AdaptiveGate`).
        novelty_scaling: width of the rank range above `density_quantile` over which exposure grows from 0 to full.
        consistency_window: bars over which the sign of the signal is compared.
        consistency_share: share of that window that has to agree with the present sign.
        score_variance_scaling: k in score^2 / (score^2 + k score_std^2), the factor by which doubt shrinks exposure.
        target_volatility: annual volatility the position is scaled to.
        max_exposure: largest |exposure| of one symbol.
        rebalance_band: a smaller step of exposure is not traded.
        cooldown: closes after a fill, from that of its own bar on, at which exposure is not increased or flipped.
        max_drawdown_stop: drawdown of equity (positive fraction) at which the account is closed for good.
        stale_after: bars without a new bar after which a symbol is closed.
    """

    confidence_threshold: float = 0.1
    density_quantile: float = 0.05
    density_adaptation: float = 0.0
    novelty_scaling: float = 0.0
    consistency_window: int = 0
    consistency_share: float = 0.6
    score_variance_scaling: float = 0.0
    target_volatility: float | None = 0.3
    max_exposure: float = 1.0
    rebalance_band: float = 0.25
    cooldown: int = 24
    max_drawdown_stop: float = 0.0
    stale_after: int = 0

    def __post_init__(self) -> None:
        for name in (
            "confidence_threshold",
            "density_quantile",
            "density_adaptation",
            "consistency_share",
            "max_drawdown_stop",
        ):
            _check(name, getattr(self, name), 0.0, 1.0)
        for name in ("novelty_scaling", "score_variance_scaling", "max_exposure", "rebalance_band"):
            _check(name, getattr(self, name), 0.0, math.inf)
        for name in ("consistency_window", "cooldown", "stale_after"):
            _check(name, getattr(self, name), 0, math.inf)
            if not float(getattr(self, name)).is_integer():
                raise ValueError(f"{name}: expected a whole number of bars, found {getattr(self, name)!r}")
        if self.target_volatility is not None:
            _check("target_volatility", self.target_volatility, 0.0, math.inf)


class Observation(NamedTuple):
    """What is known at a bar's close; model fields as in `scorenet.Evaluation`.

    agreement: share of the consistency window whose sign is the present one.
    annual_volatility: of the symbol's log-returns.
    exposure: held now, signed fraction of equity.
    bars_since_fill: of this symbol, 0 at the close of the bar of the fill.
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


class Decision(NamedTuple):
    """Where to go and why: target exposure (signed fraction of equity) and one of `REASONS`."""

    target: float
    reason: str


def decide(rules: Rules, seen: Observation) -> Decision:
    """Decide one bar of one symbol.

    Leaving the market needs no permission: neither the band nor the cool-down keeps a position that a filter has
    closed.
    """
    return Decision(*choose(rules, *seen))


def choose(
    rules: Rules,
    score: float,
    signal: float,
    confidence: float,
    score_std: float,
    density_rank: float,
    annual_volatility: float,
    agreement: float,
    exposure: float,
    bars_since_fill: float,
) -> tuple[float, str]:
    """Return target and reason as `decide` does, for the fields of an `Observation` in order."""
    # Plain numbers in and a plain tuple out: a backtest asks once a bar, and naming things would cost as much.
    if signal != signal or density_rank != density_rank:  # NaN
        return 0.0, "stale"
    if density_rank < rules.density_quantile:
        return 0.0, "out_of_distribution"
    if confidence < rules.confidence_threshold:
        return 0.0, "low_confidence"
    if rules.consistency_window and agreement < rules.consistency_share:
        return 0.0, "inconsistent"
    target = _sized(rules, score, signal, score_std, density_rank, annual_volatility)
    if target != 0.0 and abs(target - exposure) < rules.rebalance_band:
        return exposure, "hold"
    adds = abs(target) > abs(exposure) or target * exposure < 0
    if rules.cooldown and adds and bars_since_fill < rules.cooldown:
        return exposure, "cooldown"
    return target, "trade" if target != exposure else "hold"


def agreement(signals: list[float], window: int) -> float:
    """Return the share of the last `window` signals whose sign is that of the latest; 1 while there is only one."""
    if not signals or window <= 1:
        return 1.0
    recent = signals[-window:]
    sign = math.copysign(1.0, recent[-1])
    return sum(1 for value in recent if value * sign > 0) / len(recent)


def _sized(
    rules: Rules, score: float, signal: float, score_std: float, density_rank: float, annual_volatility: float
) -> float:
    scale = rules.max_exposure
    if rules.target_volatility:
        if not annual_volatility > 0:
            return 0.0
        calm = rules.target_volatility / annual_volatility
        scale = calm if calm < scale else scale
    target = signal * scale
    if rules.novelty_scaling:
        target *= min(1.0, (density_rank - rules.density_quantile) / rules.novelty_scaling)
    if rules.score_variance_scaling and score != 0.0:
        # Divided first: the square of a tiny score would be 0.
        noise = score_std / score
        target /= 1.0 + rules.score_variance_scaling * noise * noise
    return target


def _check(name: str, value: float, low: float, high: float) -> None:
    known = isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)
    if not known or not low <= value <= high:
        limit = f"between {low:g} and {high:g}" if math.isfinite(high) else f"at least {low:g}"
        raise ValueError(f"{name}: expected a number {limit}, found {value!r}")
