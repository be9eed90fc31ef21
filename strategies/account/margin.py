"""When and at which prices a cross-margin account is liquidated: pure functions, no Backtrader.

Between two moments each price is taken to move along a straight line, all symbols together. A point `at` in
[0, 1] on that path has the equity `cash + sum(size * price)` and the maintenance margin
`sum(maintenance * |size| * price)`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Leg", "Liquidation", "liquidate_on_gap", "liquidate_on_slide"]


class Leg(NamedTuple):
    """Describe a position on its way from price `start` to `end`; `maintenance` is a fraction of value."""

    size: float
    start: float
    end: float
    maintenance: float

    def price(self, at: float) -> float:
        """Return the price at the point `at` of the path."""
        return self.start + at * (self.end - self.start)


class Liquidation(NamedTuple):
    """Give the closing price and the fee (quote currency) of each leg; the fees take all that is left."""

    prices: list[float]
    fees: list[float]


def liquidate_on_gap(cash: float, legs: Sequence[Leg]) -> Liquidation | None:
    """Liquidate an account that could not trade between the ends of the path; None if it is sound.

    With equity left the positions go at the end prices and the rest is the fee. Without, they go at the
    bankruptcy price, where equity was 0: the account cannot lose more, the exchange's insurance fund bears
    the difference.
    """
    equity = _equity(cash, legs, 1.0)
    if equity > sum(_maintenance(legs, 1.0)):
        return None
    if equity >= 0.0:
        return _close(legs, 1.0, equity)
    before = _equity(cash, legs, 0.0)
    return _close(legs, before / (before - equity) if before > 0.0 else 0.0, 0.0)


def liquidate_on_slide(cash: float, legs: Sequence[Leg]) -> Liquidation | None:
    """Liquidate where equity meets maintenance margin on the path; None if the account survives it."""
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
