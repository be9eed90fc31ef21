"""Pack sets of rules and costs into the arrays that compiled code reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from scorenet.regimes.regime_map import regime_numbers

from ..account.costs import Costs
from ..decision import Rules
from .coverage import costs_by_symbol, not_compiled, position_of
from .market import Facts, ReplayMarket
from .numbers import COST_ROW, RULE_ROW, cost_row, expiries, rule_row, tiers_of
from .parts import PartsOfMarket

__all__ = ["Arrays", "Set", "Sets", "check", "pack"]

Set = tuple[Rules, Costs | Sequence[Costs]]


class Arrays(NamedTuple):
    """Arrays of S sets with A different accounts, M models, R regimes.

    Rules [S], costs [A, N], tiers [A, N, rows, 4], account of each set [S], expiries [S, M], allowed regimes
    [S, M, R]; and the parts of set k are the rows from part_begin[k] to part_begin[k + 1] of part_at and part.
    """

    rules: Any
    costs: Any
    tiers: Any
    account: Any
    expiry: Any
    allowed: Any
    part_begin: Any
    part_at: Any
    part: Any


class Sets(NamedTuple):
    """Packed sets with one position rule; `position` is None for the built-in ones."""

    arrays: Arrays
    position: Any
    longest_window: int


def check(market: ReplayMarket, sets: Sequence[Set], before: int) -> None:
    """Check that the replay covers all sets; `before` is the number of the first.

    Raises:
        ValueError: `not_compiled` gives a reason against a set.
    """
    for number, (rules, costs) in enumerate(sets, before):
        reason = not_compiled(rules, costs, market.facts)
        if reason is not None:
            raise ValueError(f"set {number} is not covered by the replay: {reason}; try it with Cerebro")


def pack(market: ReplayMarket, parts: PartsOfMarket, sets: Sequence[Set]) -> Sets:
    """Return sets as arrays; they have the same position rule of the user, or built-in ones."""
    facts = market.facts
    accounts: dict[tuple[Costs, ...], int] = {}
    account = np.empty(len(sets), dtype=np.int64)
    for number, (_, costs) in enumerate(sets):
        every = costs_by_symbol(costs, len(facts.symbols))
        account[number] = accounts.setdefault(every, len(accounts))
    found = [parts.of(rules) for rules, _ in sets]
    tiers = max((len(one.risk_tiers) for every in accounts for one in every), default=0)
    table = np.array([rule_row(rules, facts.horizon) for rules, _ in sets], dtype=RULE_ROW)
    arrays = Arrays(
        rules=table,
        costs=np.array([[cost_row(one) for one in every] for every in accounts], dtype=COST_ROW),
        tiers=np.stack([tiers_of(every, max(tiers, 1)) for every in accounts]),
        account=account,
        expiry=np.stack([expiries(facts, rules) for rules, _ in sets]),
        allowed=np.stack([_allowed(facts, rules) for rules, _ in sets]),
        part_begin=np.concatenate(([0], np.cumsum([len(one.at) for one in found]))),
        part_at=np.concatenate([one.at for one in found]),
        part=np.concatenate([one.value for one in found]),
    )
    window = max(int(rules.for_horizon(facts.horizon).forecast_window or 1) for rules, _ in sets)
    return Sets(arrays, position_of(sets[0][0]), window)


def _allowed(facts: Facts, rules: Rules) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return whether each regime of each model is one of `Rules.regimes` [M, R]."""
    most = max((len(names) for names in facts.regime_names), default=1)
    out = np.zeros((len(facts.learned_until), most), dtype=np.bool_)
    if rules.regimes:
        for number, names in enumerate(facts.regime_names):
            out[number, list(regime_numbers(names, rules.regimes))] = True
    return out
