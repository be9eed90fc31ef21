"""Position rules, which turn the observation of a symbol into its target exposure, and their registry."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TypeVar

from scorenet.base.registry import Registry

from .facts import Observation

if TYPE_CHECKING:
    from .rules import Rules

__all__ = [
    "POSITION_RULES",
    "PositionRule",
    "confidence",
    "cvar",
    "kelly",
    "needs_tails",
    "proportional",
    "register_position_rule",
]


class PositionRule(Protocol):
    """A pure function from the rules and the observation of a symbol to a target exposure.

    It is called at every bar with a forecast, also where a filter then refuses it. Its result is clipped to
    `Rules.max_exposure`; filters, the forecast window, step, bands, cool-down and leverage cap are applied afterwards.
    """

    def __call__(self, rules: Rules, seen: Observation, /) -> float:
        """Return the exposure as a signed fraction of the symbol's part of the capital; a finite number."""
        ...


_Rule = TypeVar("_Rule", bound=PositionRule)

POSITION_RULES: Registry[PositionRule] = Registry("position_rule")

_NORMAL_TAIL_MEAN = 2.0627128075074257  # minus the mean of the lowest 5 % of a standard normal variable
_tail_rules: set[PositionRule] = set()


def register_position_rule(name: str, *, tails: bool = False) -> Callable[[_Rule], _Rule]:
    """Return a decorator that registers a function (rules, seen) -> exposure as a position rule.

    With `tails` the tail means `seen.lower_tail` and `seen.upper_tail` are computed at every bar.

    Raises:
        ValueError: the name is already registered, or is not an identifier.
    """
    enter = POSITION_RULES.register(name)

    def decorate(rule: _Rule) -> _Rule:
        enter(rule)
        if tails:
            _tail_rules.add(rule)
        return rule

    return decorate


def needs_tails(name: str) -> bool:
    """Return whether a position rule reads the tail means."""
    return POSITION_RULES[name] in _tail_rules


@register_position_rule("confidence")
def confidence(rules: Rules, seen: Observation) -> float:
    """Return the signal (sign times confidence, the chapter's rule), scaled to the target volatility."""
    return seen.signal * _largest(rules, seen)


@register_position_rule("proportional")
def proportional(rules: Rules, seen: Observation) -> float:
    """Return the strength of the forecast, scaled to the target volatility: a typical forecast takes exactly that risk.

    The exposure is proportional to the expected return over its risk, as Kelly's, but does not depend on the size that
    the model gives to its forecasts, which a few years of data hardly determine.

    References:
        Leveraged Trading (Carver, 2019): forecasts scaled to a typical size of 1.
    """
    return seen.strength * _largest(rules, seen)


@register_position_rule("kelly")
def kelly(rules: Rules, seen: Observation) -> float:
    """Return the expected return over its variance, times `Rules.kelly_fraction`.

    References:
        A New Interpretation of Information Rate (Kelly, 1956).
        Lifetime Portfolio Selection under Uncertainty (Merton, 1969): the share mean / variance.
    """
    return _kelly(rules, seen, seen.return_std)


@register_position_rule("cvar", tails=True)
def cvar(rules: Rules, seen: Observation) -> float:
    """Return as `kelly`, but with the tail on the losing side in place of the standard deviation.

    That tail is the distance from the mean to the mean of the worst 5 %, over the same distance of a standard normal
    variable; for a Gaussian forecast it is the standard deviation.

    References:
        Optimization of Conditional Value-at-Risk (Rockafellar & Uryasev, 2000).
    """
    mean = seen.expected_return
    tail = mean - seen.lower_tail if mean > 0 else seen.upper_tail - mean
    return _kelly(rules, seen, tail / _NORMAL_TAIL_MEAN)


def _kelly(rules: Rules, seen: Observation, risk: float) -> float:
    if not risk > 0:
        return 0.0
    wanted = rules.kelly_fraction * (seen.expected_return / risk) / risk
    limit = _largest(rules, seen)
    return wanted if -limit <= wanted <= limit else math.copysign(limit, wanted)


def _largest(rules: Rules, seen: Observation) -> float:
    """Return the largest exposure that keeps both `max_exposure` and `target_volatility`."""
    limit = rules.max_exposure
    if rules.target_volatility:
        if not seen.annual_volatility > 0:
            return 0.0
        calm = rules.target_volatility / seen.annual_volatility
        limit = calm if calm < limit else limit
    return limit
