"""The exchange's risk tiers: larger positions need more margin."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

__all__ = ["RiskTiers", "Tier", "read_tiers"]


class Tier(NamedTuple):
    """One row of the exchange's table.

    Attributes:
        limit: largest position value of the tier, settlement coin.
        maintenance: maintenance margin rate, a fraction of the position's value.
        max_leverage: largest leverage, which sets the smallest initial margin rate.
        deduction: amount that keeps the maintenance margin continuous at the lower end of the tier, settlement coin.
    """

    limit: float
    maintenance: float
    max_leverage: float
    deduction: float


class RiskTiers:
    """The margin of a position by its value: maintenance = value * rate - deduction of its tier."""

    def __init__(self, tiers: Sequence[Tier]) -> None:
        self.tiers = tuple(tiers)
        self.limit = self.tiers[-1].limit

    def tier(self, value: float) -> Tier:
        """Return the tier of a position value; the last one also beyond its limit."""
        for tier in self.tiers:
            if value <= tier.limit:
                return tier
        return self.tiers[-1]

    def maintenance(self, value: float) -> float:
        """Return the maintenance margin of a position value (settlement coin)."""
        tier = self.tier(value)
        return value * tier.maintenance - tier.deduction

    def initial(self, value: float, leverage: float) -> float:
        """Return the initial margin of a position value at the chosen leverage, at most the tier's."""
        return value / min(leverage, self.tier(value).max_leverage)


def read_tiers(rows: Iterable[Iterable[Any]]) -> tuple[Tier, ...]:
    """Return the tiers of rows (limit, maintenance rate, max leverage[, deduction]); a missing deduction is computed.

    Raises:
        ValueError: a row has another form, the rows are out of order, or a deduction leaves a jump in the margin.
    """
    found: list[Tier] = []
    for number, row in enumerate(rows, 1):
        try:
            values = [float(value) for value in row]
        except (TypeError, ValueError):
            values = []
        if len(values) not in (3, 4) or not all(math.isfinite(value) and value >= 0 for value in values):
            raise _error(number, "limit, maintenance rate, max leverage and, if known, deduction", row)
        limit, rate, leverage = values[:3]
        if leverage < 1.0 or not rate < 1.0 / leverage:
            raise _error(number, "a leverage of at least 1 and a maintenance rate below 1 / leverage", row)
        due = 0.0
        if found:
            last = found[-1]
            if limit <= last.limit or rate < last.maintenance or leverage > last.max_leverage:
                raise _error(number, "a higher limit, no lower rate and no higher leverage than before", row)
            due = last.deduction + last.limit * (rate - last.maintenance)
        given = values[3] if len(values) == 4 else due
        if not math.isclose(given, due, rel_tol=1e-6, abs_tol=1e-9 * limit):
            raise _error(number, f"a deduction of {due:g}, so that the margin does not jump", row)
        found.append(Tier(limit, rate, leverage, given))
    return tuple(found)


def _error(number: int, expected: str, row: Any) -> ValueError:
    return ValueError(f"risk_tiers: expected in row {number} {expected}, found {row!r}")
