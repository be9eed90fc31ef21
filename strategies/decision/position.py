"""Position rules, which turn the observation of a symbol into its target exposure, and their registry."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TypeVar

from scorenet.base.registry import Registry

from .facts import Observation

if TYPE_CHECKING:
    from .rules import Rules

__all__ = ["POSITION_RULES", "PositionRule", "confidence", "register_position_rule"]


class PositionRule(Protocol):
    """A pure function from the rules and the observation of a symbol to a target exposure.

    It is called only if no filter has set the target to 0. Its result is clipped to `Rules.max_exposure`; the leverage
    cap, the rebalance band and the cool-down are applied afterwards.
    """

    def __call__(self, rules: Rules, seen: Observation, /) -> float:
        """Return the exposure as a signed fraction of the symbol's part of the capital; a finite number."""
        ...


_Rule = TypeVar("_Rule", bound=PositionRule)

POSITION_RULES: Registry[PositionRule] = Registry("position_rule")


def register_position_rule(name: str) -> Callable[[_Rule], _Rule]:
    """Return a decorator that registers a function (rules, seen) -> exposure as a position rule.

    Raises:
        ValueError: the name is already registered, or is not an identifier.
    """
    enter = POSITION_RULES.register(name)

    def decorate(rule: _Rule) -> _Rule:
        enter(rule)
        return rule

    return decorate


@register_position_rule("confidence")
def confidence(rules: Rules, seen: Observation) -> float:
    """Scale the signal to the target volatility; reduce it for novel states and for uncertain scores."""
    scale = rules.max_exposure
    if rules.target_volatility:
        if not seen.annual_volatility > 0:
            return 0.0
        wanted = rules.target_volatility / seen.annual_volatility
        scale = wanted if wanted < scale else scale
    target = seen.signal * scale
    if rules.novelty_scaling:
        target *= min(1.0, (seen.density_rank - rules.density_quantile) / rules.novelty_scaling)
    score = seen.score
    if rules.score_variance_scaling and score != 0.0:
        # The ratio is squared, not the score, because the square of a tiny score would underflow to 0.
        noise = seen.score_std / score
        target /= 1.0 + rules.score_variance_scaling * noise * noise
    return target
