"""One position of a perpetual account: its size, its mark prices and its margin."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .margin import Leg
from .perpetual import PerpetualCommission

__all__ = ["Holding", "equity_and_maintenance", "is_margined", "only_reduces"]


class Holding:
    """A data with its position, its commission and its last mark price (quote currency).

    `owner` and `tradeid` are those of the last fill, so that the strategy is notified of a liquidation.
    """

    def __init__(self, data: Any, position: Any, commission: PerpetualCommission) -> None:
        self.data, self.position, self.commission = data, position, commission
        self.open, self.high, self.low, self.close = (
            getattr(data.lines, name) for name in ("open", "high", "low", "close")
        )
        self.seen = len(data)
        self.fresh = False
        self.last = self.mark = self.close[0]
        self.owner: Any = None
        self.tradeid = 0

    def turn_bar(self) -> None:
        """Mark the position at the open of a new bar; without a new bar it keeps the last close."""
        bars = len(self.data)
        self.fresh = bars != self.seen
        self.seen = bars
        self.last = self.mark
        if self.fresh:
            self.mark = self.open[0]

    def adverse(self) -> float:
        """Return the worst price of the bar for the position: the low for a long, the high for a short."""
        if not self.fresh:
            return self.mark
        return self.low[0] if self.position.size > 0 else self.high[0]

    def leg(self, start: float, end: float) -> Leg:
        """Return the position for a price move from `start` to `end`."""
        return Leg(self.position.size, start, end, self.commission.p.maintenance_margin)


def equity_and_maintenance(cash: float, positions: Iterable[tuple[Holding, float]]) -> tuple[float, float]:
    """Return equity and maintenance margin of `cash` and (holding, price) pairs, in quote currency."""
    need = 0.0
    for holding, price in positions:
        value = holding.position.size * price
        cash += value
        need += abs(value) * holding.commission.p.maintenance_margin
    return cash, need


def only_reduces(held: float, size: float) -> bool:
    """Return whether an order of `size` reduces the position `held` without flipping it (base units)."""
    return held * size < 0.0 and abs(size) <= abs(held)


def is_margined(cash: float, positions: Iterable[tuple[Holding, float, float]]) -> bool:
    """Return whether equity covers the initial margin of (holding, size, price) triples."""
    equity, need = cash, 0.0
    for holding, size, price in positions:
        value = size * price
        equity += value
        need += abs(value) / holding.commission.p.margin_leverage
    return equity >= need
