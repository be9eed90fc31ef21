"""When and at which prices a cross-margin account is liquidated: pure functions without Backtrader.

The prices of all symbols are assumed to move linearly and simultaneously between two times. At the point `at` in [0, 1]
of that path, equity is `cash + sum(size * price)` and maintenance margin is `sum(maintenance * |size| * price)`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Leg", "Liquidation", "liquidate_on_gap", "liquidate_on_slide"]


class Leg(NamedTuple):
    """A position of `size` base units while the price moves from `start` to `end`.

    `maintenance` is the maintenance margin as a fraction of the position's value.
    """

    size: float
    start: float
    end: float
    maintenance: float

    def price(self, at: float) -> float:
        """Return the price at the point `at` of the path."""
        return self.start + at * (self.end - self.start)


class Liquidation(NamedTuple):
    """The closing price and the fee (quote currency) of each leg; the sum of the fees is the remaining equity."""

    prices: list[float]
    fees: list[float]


def liquidate_on_gap(cash: float, legs: Sequence[Leg]) -> Liquidation | None:
    """Liquidate at a price gap, during which nothing could be traded; return None if no liquidation is needed.

    With equity left, the positions are closed at the end prices and the remaining equity is the fee. Without equity,
    they are closed at the bankruptcy prices, where equity was 0, and the exchange's insurance fund covers the rest.
    """
    equity = _equity(cash, legs, 1.0)
    if equity > sum(_maintenance(legs, 1.0)):
        return None
    if equity >= 0.0:
        return _close(legs, 1.0, equity)
    before = _equity(cash, legs, 0.0)
    return _close(legs, before / (before - equity) if before > 0.0 else 0.0, 0.0)


def liquidate_on_slide(cash: float, legs: Sequence[Leg]) -> Liquidation | None:
    """Liquidate at the point of the path where equity equals the maintenance margin; None if there is none."""
    spare_end = _equity(cash, legs, 1.0) - sum(_maintenance(legs, 1.0))
    if spare_end > 0.0:
        return None
    spare_start = _equity(cash, legs, 0.0) - sum(_maintenance(legs, 0.0))
    at = spare_start / (spare_start - spare_end) if spare_start > 0.0 else 0.0
    return _close(legs, at, max(_equity(cash, legs, at), 0.0))


def _equity(cash: float, legs: Sequence[Leg], at: float) -> float:
    return cash + sum(leg.size * leg.price(at) for leg in legs)


def _maintenance(legs: Sequence[Leg], at: float) -> list[float]:
    return [leg.maintenance * abs(leg.size) * leg.price(at) for leg in legs]


def _close(legs: Sequence[Leg], at: float, fee: float) -> Liquidation:
    prices = [leg.price(at) for leg in legs]
    values = [abs(leg.size) * price for leg, price in zip(legs, prices, strict=True)]
    return Liquidation(prices, [fee * value / sum(values) for value in values])
