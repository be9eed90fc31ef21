"""The methods of `ScoreStrategy` that a user overrides to decide himself: what they get, and what they may return."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from scorenet.base.did_you_mean import did_you_mean

from ..decision import KEEPS, REASONS, Decision, Forecast, Observation, Rules, choose
from ..decision.reasons import HOLD, REDUCED, REFUSED, TRADE

if TYPE_CHECKING:
    from ..traded_symbol import TradedSymbol

__all__ = ["SymbolFacts", "is_overridden", "own_choice"]

_CODES = {name: code for code, name in enumerate(REASONS)}


class SymbolFacts(NamedTuple):
    """What is known about a symbol at a bar's close, when it is decided.

    Attributes:
        symbol: its name.
        data: its Backtrader data.
        seen: score, confidence, density rank, present exposure and so on (`Observation`).
        forecast: the exposure that the forecasts in force ask for (`Forecast`), a fraction of the symbol's part.
        rules: the strategy's rules.
    """

    symbol: str
    data: Any
    seen: Observation
    forecast: Forecast
    rules: Rules


def is_overridden(strategy: Any, base: type, *names: str) -> bool:
    """Return whether the class of a strategy has its own version of one of the methods of `base`."""
    return any(getattr(type(strategy), name) is not getattr(base, name) for name in names)


def own_choice(
    strategy: Any, state: TradedSymbol, seen: Observation, forecast: Forecast
) -> tuple[float, int]:
    """Return the target and reason code of a strategy with its own `decide` or `allow`.

    They are asked only where an order is possible: not in the warm-up, without a bar, on a late or doubtful bar, under
    the kill switch, or after ruin or the drawdown stop.

    Raises:
        TypeError, ValueError: they return something else than `ScoreStrategy` says.
    """
    rules = strategy.rules
    if seen.warming or seen.silent or seen.kill_switch or seen.late or seen.doubtful:
        return choose(rules, seen, forecast)
    if seen.ruined or seen.stopped:
        return choose(rules, seen, forecast)
    decision = strategy.decide(SymbolFacts(state.name, state.data, seen, forecast, rules))
    target, code = _checked(strategy, decision, seen.exposure)
    if target == 0.0:
        return target, code
    allowed = strategy.allow(state.name, target)
    if allowed is None:
        raise TypeError(
            f"{type(strategy).__name__}.allow: expected True or False, found None; end the method with `return True`"
        )
    return (target, code) if allowed else (0.0, REFUSED)


def _checked(strategy: Any, decision: Any, exposure: float) -> tuple[float, int]:
    where = f"{type(strategy).__name__}.decide"
    if not isinstance(decision, Decision):
        raise TypeError(
            f"{where}: expected a Decision(target, reason), found {decision!r}; "
            'return for example super().decide(facts), or Decision(0.0, "low_confidence")'
        )
    target, reason = decision
    code = _CODES.get(reason)
    if code is None:
        raise ValueError(
            f"{where}: unknown reason {reason!r}{did_you_mean(str(reason), REASONS)}; known: {', '.join(REASONS)}"
        )
    if not math.isfinite(target):
        raise ValueError(f"{where}: expected a finite target exposure, found {target!r}")
    target = float(target)
    # The reason must say what happens: another target is a trade, the present exposure is none.
    if target != exposure and code in KEEPS:
        code = TRADE
    elif target == exposure and code in (TRADE, REDUCED):
        code = HOLD
    return target, code
