"""When and at which prices a cross-margin account is liquidated: pure functions without Backtrader.

The prices of all symbols are assumed to move linearly and simultaneously between two times. At the point `at` in [0, 1]
of that path, equity is `cash + sum(size * price)` and maintenance margin is `sum(maintenance * |size * price|)`, less
the deductions of the risk tiers. A price here is the worth of one contract (`contracts.worth_of_price`): negative for
an inverse contract, whose worth -1 / p moves linearly.

`liquidation_price` and `bankruptcy_price` are the exchange's formulas for one position, in prices. Its margin is its
own in isolated mode, and in cross mode the account's balance that no other position uses. It is liquidated where margin
and unrealised profit fall to the maintenance margin at the mark price, and bankrupt where they fall to zero.

References:
    Bybit help centre, "Liquidation Price Calculation under Isolated Mode (Unified Trading Account)",
    "Bankruptcy Price (USDT Contract)", "How to calculate Liquidation Price (Inverse Contract)".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from .risk_tiers import RiskTiers

__all__ = [
    "Leg",
    "Liquidation",
    "bankruptcy_price",
    "liquidate_on_gap",
    "liquidate_on_slide",
    "liquidation_price",
]


class Leg(NamedTuple):
    """A position of `size` contracts while their price moves from `start` to `end`.

    `maintenance` is the maintenance margin as a fraction of the position's value; `tiers`, if any, replace it.
    """

    size: float
    start: float
    end: float
    maintenance: float
    tiers: RiskTiers | None = None

    def price(self, at: float) -> float:
        """Return the price at the point `at` of the path."""
        return self.start + at * (self.end - self.start)

    def margin(self, at: float) -> float:
        """Return the maintenance margin at the point `at` of the path."""
        if self.tiers is not None:
            return self.tiers.maintenance(abs(self.size * self.price(at)))
        return self.maintenance * abs(self.size) * abs(self.price(at))

    def kinks(self) -> list[float]:
        """Return the points of the path at which the position changes its risk tier."""
        if self.tiers is None or self.start == self.end:
            return []
        ways = [
            (math.copysign(tier.limit / self.size, self.start) - self.start) / (self.end - self.start)
            for tier in self.tiers.tiers
        ]
        return [at for at in ways if 0.0 < at < 1.0]


class Liquidation(NamedTuple):
    """The closing price and the fee (settlement coin) of each leg; the sum of the fees is the remaining equity."""

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
    spare_end = _spare(cash, legs, 1.0)
    if spare_end > 0.0:
        return None
    spare_start = _spare(cash, legs, 0.0)
    low, high = 0.0, 1.0
    for kink in sorted(point for leg in legs for point in leg.kinks()):
        # Between two kinks the margin is linear, so the crossing is found exactly in the first stretch that has one.
        spare = _spare(cash, legs, kink)
        if spare <= 0.0:
            high, spare_end = kink, spare
            break
        low, spare_start = kink, spare
    step = spare_start / (spare_start - spare_end) if spare_start > 0.0 else 0.0
    at = low + step * (high - low)
    return _close(legs, at, max(_equity(cash, legs, at), 0.0))


def _spare(cash: float, legs: Sequence[Leg], at: float) -> float:
    return _equity(cash, legs, at) - sum(_maintenance(legs, at))


def _equity(cash: float, legs: Sequence[Leg], at: float) -> float:
    return cash + sum(leg.size * leg.price(at) for leg in legs)


def _maintenance(legs: Sequence[Leg], at: float) -> list[float]:
    return [leg.margin(at) for leg in legs]


def _close(legs: Sequence[Leg], at: float, fee: float) -> Liquidation:
    prices = [leg.price(at) for leg in legs]
    values = [abs(leg.size) * abs(price) for leg, price in zip(legs, prices, strict=True)]
    total = sum(values)
    return Liquidation(prices, [fee * value / total for value in values])


def liquidation_price(
    size: float,
    entry: float,
    margin: float,
    maintenance: float,
    *,
    deduction: float = 0.0,
    inverse: bool = False,
) -> float:
    """Return the mark price at which a position of `size` contracts, bought or sold at `entry`, is liquidated.

    `size` is signed. `margin` and `deduction` are in the settlement coin, `maintenance` is the tier's rate (fraction of
    the value at the mark price). A position that no price liquidates has 0.0 (long) or infinity (short).

    Raises:
        ValueError: size is 0, or `entry` is not positive.
    """
    _check(size, entry)
    side = math.copysign(1.0, size)
    amount = abs(size)
    if inverse:
        # margin + side * amount * (1 / entry - 1 / p) = maintenance * amount / p - deduction
        owned = side * amount / entry + margin + deduction
        needed = amount * (maintenance + side)
        return _positive(needed, owned, side)
    # margin + side * amount * (p - entry) = maintenance * amount * p - deduction
    return _positive(side * amount * entry - margin - deduction, amount * (side - maintenance), side)


def bankruptcy_price(
    size: float, entry: float, margin: float, *, fee: float = 0.0, inverse: bool = False
) -> float:
    """Return the price at which a position's loss, with a closing fee (fraction of its value), equals its margin.

    Raises:
        ValueError: size is 0, or `entry` is not positive.
    """
    return liquidation_price(size, entry, margin, fee, inverse=inverse)


def _check(size: float, entry: float) -> None:
    if size == 0.0 or not math.isfinite(size):
        raise ValueError(f"size: expected a signed number of contracts, found {size!r}")
    if not 0.0 < entry < math.inf:
        raise ValueError(f"entry: expected a positive price, found {entry!r}")


def _positive(above: float, below: float, side: float) -> float:
    price = above / below if below else math.inf
    if price > 0.0:
        return price
    return 0.0 if side > 0.0 else math.inf
