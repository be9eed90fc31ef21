"""Rules and costs as rows of numbers, which compiled code reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scorenet.base.times import DAY_MS
from scorenet.conformal.drift import RejectionAlarm

from ..account.costs import Costs
from ..decision import Rules
from ..trading_cost import cost_of
from .compiled.steps import step_parts
from .market import Facts

__all__ = [
    "BUILTIN_RULES",
    "COST_ROW",
    "RULES",
    "RULE_ROW",
    "SLIPPAGE_CODES",
    "CostNumbers",
    "cost_row",
    "expiries",
    "rule_row",
    "tiers_of",
]

Array = NDArray[np.float64]

_WORDS = ("position_rule", "allocation", "regimes", "direction")

RULES = (
    *(item.name for item in fields(Rules) if item.name not in _WORDS),
    "closing_rank",
    "side",
    "position_number",
    "drift_limit",
    "has_regimes",
)
"""Names of the fields of a row of rules: `Rules` without its texts, and what follows from them."""

RULE_ROW = np.dtype([(name, np.float64) for name in RULES])
"""`Rules` as compiled code sees it: a record with the same names, floats only."""

BUILTIN_RULES = ("confidence", "proportional", "kelly", "cvar")
SLIPPAGE_CODES = {"fixed": 0, "spread": 1, "impact": 2}


class CostNumbers(NamedTuple):
    """`Costs` of one symbol as compiled code sees them; `order_cost` is taker fee plus slippage of a market order.

    A step is `units / scale`, two whole numbers. `tiers` is the number of risk tiers, 0 without.
    """

    taker: float
    slippage: float
    slippage_code: float
    half_spread: float
    impact: float
    participation: float
    tick_size: float
    tick_units: float
    tick_scale: float
    lot_step: float
    lot_units: float
    lot_scale: float
    min_size: float
    min_notional: float
    max_size: float
    leverage: float
    maintenance: float
    mult: float
    inverse: float
    spot: float
    funding: float
    tiers: float
    order_cost: float


COST_ROW = np.dtype([(name, np.float64) for name in CostNumbers._fields])
"""A record of `CostNumbers`: compiled code reads its fields by name."""


def rule_row(rules: Rules, horizon: int) -> tuple[float, ...]:
    """Return the row of `RULES` of a set for the model's horizon."""
    rules = rules.for_horizon(horizon)
    row = {name: float(getattr(rules, name) or 0.0) for name in RULES if hasattr(rules, name)}
    builtin = rules.position_rule in BUILTIN_RULES
    row["position_number"] = float(BUILTIN_RULES.index(rules.position_rule) if builtin else -1)
    row["drift_limit"], row["has_regimes"] = 0.0, float(bool(rules.regimes))
    if rules.drift_alarm:
        alarm = RejectionAlarm(rules.density_quantile, int(rules.drift_window), rules.drift_alarm)
        row["drift_limit"] = float(alarm.limit)
    return tuple(row[name] for name in RULES)


def cost_row(costs: Costs) -> tuple[float, ...]:
    """Return the row of `CostNumbers` of a symbol."""
    spot = costs.contract == "spot"
    tick, lot = step_parts(costs.tick_size), step_parts(costs.lot_step)
    return CostNumbers(
        taker=costs.taker,
        slippage=costs.slippage,
        slippage_code=SLIPPAGE_CODES[costs.slippage_model],
        half_spread=costs.half_spread,
        impact=costs.impact,
        participation=costs.participation,
        tick_size=costs.tick_size,
        tick_units=tick[0],
        tick_scale=tick[1],
        lot_step=costs.lot_step,
        lot_units=lot[0],
        lot_scale=lot[1],
        min_size=costs.min_size,
        min_notional=costs.min_notional,
        max_size=costs.max_size,
        leverage=1.0 if spot else costs.margin_leverage,
        maintenance=0.0 if spot else costs.maintenance_margin,
        mult=costs.mult,
        inverse=costs.contract == "inverse",
        spot=spot,
        funding=costs.funding,
        tiers=len(costs.risk_tiers),
        order_cost=cost_of(costs),
    )


def tiers_of(costs: Sequence[Costs], rows: int) -> Array:
    """Return the risk tiers of the symbols [N, rows, 4]: limit, maintenance rate, max leverage, deduction."""
    out = np.zeros((len(costs), rows, 4))
    for number, one in enumerate(costs):
        if one.risk_tiers:
            out[number, : len(one.risk_tiers)] = one.risk_tiers
    return out


def expiries(facts: Facts, rules: Rules) -> Array:
    """Return the last close at which each model may trade, UTC ms [M]; infinity without `expire_after`."""
    if not rules.expire_after:
        return np.full(len(facts.learned_until), np.inf)
    ends = [np.nan if end is None else float(end) for end in facts.learned_until]
    return np.array(ends) + rules.expire_after * DAY_MS
