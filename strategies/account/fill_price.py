"""The price of a fill: slippage model, limit price, and the condition for the maker fee."""

from __future__ import annotations

from typing import Any

from backtrader.order import Order

from .broker_base import PerpetualSettings
from .costs import Costs
from .slippage import SLIPPAGE, FillFacts

__all__ = ["PricedFills", "fill_price", "had_to_wait"]


def fill_price(costs: Costs, fill: FillFacts, limit: float | None = None) -> float:
    """Return the price of a fill (quote currency) after slippage, never worse than `limit`.

    Raises:
        ValueError: the slippage model did not return a fraction.
    """
    move = SLIPPAGE[costs.slippage_model](costs, fill)
    if not 0.0 <= move < 1.0:
        raise ValueError(
            f"slippage_model {costs.slippage_model!r}: expected a fraction of the price, at least 0 and below 1, "
            f"found {move!r} for {fill}"
        )
    if fill.size > 0.0:
        price = fill.price * (1.0 + move)
        return price if limit is None else min(price, limit)
    price = fill.price * (1.0 - move)
    return price if limit is None else max(price, limit)


def had_to_wait(order: Any) -> bool:
    """Return whether a limit order rested in the book: it could not be filled at the open of its bar."""
    if order.exectype != Order.Limit:
        return False
    opening = order.data.open[0]
    return bool(opening > order.created.price if order.isbuy() else opening < order.created.price)


class PricedFills(PerpetualSettings):
    """Price the fills of Backtrader's order types by `fill_price`, with full slippage even beyond the bar's range."""

    def _try_exec(self, order: Any) -> None:
        # Backtrader calls its slippage method without the order, so the order is stored here.
        self._filling = order
        super()._try_exec(order)

    def _slip_up(self, pmax: float, price: float, doslip: bool = True, lim: bool = False) -> float:
        return self._slip(price, pmax if lim else None)

    def _slip_down(self, pmin: float, price: float, doslip: bool = True, lim: bool = False) -> float:
        return self._slip(price, pmin if lim else None)

    def _slip(self, price: float, limit: float | None) -> float:
        order = self._filling
        data = order.data
        fill = FillFacts(
            order.executed.remsize,
            price,
            order.getordername().lower(),
            data.open[0],
            data.high[0],
            data.low[0],
            data.volume[0],
        )
        return fill_price(self.costs_of(data), fill, limit)
