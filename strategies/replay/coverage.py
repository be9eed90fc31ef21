"""Which combinations the compiled replay covers; the others are tried by Cerebro."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from ..account.costs import Costs
from ..account.slippage import SLIPPAGE
from ..decision import ALLOCATIONS, POSITION_RULES, Rules, needs_covariance, needs_tails
from .market import Facts
from .numbers import BUILTIN_RULES, SLIPPAGE_CODES

__all__ = ["costs_by_symbol", "not_compiled", "position_of"]


def not_compiled(rules: Rules, costs: Costs | Sequence[Costs], facts: Facts | None = None) -> str | None:
    """Return why a set must be tried by Cerebro, in words; None if the replay covers it.

    `costs` are those of all symbols, or one entry a symbol. With the `facts` of a market the set is also held against
    what that market knows: regimes, volume, the end of the models' training, tail means.

    Raises:
        ValueError: a rule or model of this name is not registered.
    """
    every = (costs,) if isinstance(costs, Costs) else tuple(costs)
    reasons = (
        *_of_rules(rules),
        *(reason for one in every for reason in _of_costs(one)),
        *_of_account(every),
    )
    if facts is not None:
        reasons = (*reasons, *_of_market(rules, every, facts))
    return next(iter(reasons), None)


def position_of(rules: Rules) -> Any:
    """Return the user's own position rule; None for a built-in one."""
    return None if rules.position_rule in BUILTIN_RULES else POSITION_RULES[rules.position_rule]


def costs_by_symbol(costs: Costs | Sequence[Costs], symbols: int) -> tuple[Costs, ...]:
    """Return the costs of each symbol.

    Raises:
        ValueError: there is another number of them.
    """
    every = (costs,) * symbols if isinstance(costs, Costs) else tuple(costs)
    if len(every) != symbols:
        raise ValueError(f"costs: expected one entry for each of {symbols} symbols, found {len(every)}")
    return every


def _of_rules(rules: Rules) -> list[str]:
    reasons = []
    if needs_covariance(rules.allocation):
        reasons.append(f"allocation {rules.allocation!r} needs the covariance of the symbols' returns")
    if rules.portfolio_volatility:
        reasons.append("portfolio_volatility needs the covariance of the symbols' returns")
    ALLOCATIONS[rules.allocation]
    own = position_of(rules)
    message = None if own is None else _compile_error(own)
    if message:
        reasons.append(f"position_rule {rules.position_rule!r} cannot be compiled: {message}")
    return reasons


def _of_costs(costs: Costs) -> list[str]:
    reasons = []
    SLIPPAGE[costs.slippage_model]
    if costs.slippage_model not in SLIPPAGE_CODES:
        reasons.append(f"slippage_model {costs.slippage_model!r} is your own")
    if costs.margin_mode == "isolated" and costs.contract != "spot":
        reasons.append("margin_mode 'isolated' is not compiled")
    return reasons


def _of_account(costs: Sequence[Costs]) -> list[str]:
    if len({(one.slippage, one.slippage_model) for one in costs}) > 1:
        return ["the symbols of an account have one slippage and one slippage_model"]
    if len({one.contract == "inverse" for one in costs}) > 1:
        return ["an inverse contract cannot share an account with another kind"]
    return []


def _of_market(rules: Rules, costs: Sequence[Costs], facts: Facts) -> list[str]:
    reasons = []
    if rules.stale_after and facts.calendar and len(facts.symbols) > 1:
        reasons.append(f"stale_after counts the trading hours of {facts.calendar}, which are not compiled")
    if rules.regimes and not facts.regime_names:
        reasons.append("the market was prepared without regimes=True")
    if rules.expire_after and None in facts.learned_until:
        reasons.append("a model does not say when its training ended")
    if needs_tails(rules.position_rule) and not facts.tails:
        reasons.append("the market was prepared without tails=True")
    if not facts.has_volume and any(one.slippage_model == "impact" or one.participation for one in costs):
        reasons.append("a bar has no volume")
    return reasons


@cache
def _compile_error(position: Any) -> str | None:
    """Return numba's message about a position rule in one line, None if it compiles."""
    from numba import float64, from_dtype, njit
    from numba.core.errors import NumbaError
    from numba.core.types import NamedTuple as NumbaTuple
    from numba.core.types import boolean

    from .compiled.forecasts import ModelFacts
    from .numbers import RULE_ROW

    kinds = [boolean if kind == "bool" else float64 for kind in ModelFacts.__annotations__.values()]
    try:
        njit((from_dtype(RULE_ROW), NumbaTuple(kinds, ModelFacts)), error_model="numpy")(position)
    except NumbaError as error:
        return " ".join(str(error).split())[:300]
    return None
