"""The price and the size of a fill: slippage model, tick, limit price, share of the bar's volume, maker fee."""

from __future__ import annotations

import math
from typing import Any

from backtrader.order import Order

from ..sizing import round_to_step, round_to_tick
from .broker_base import PerpetualSettings
from .costs import Costs
from .holdings import Holding
from .slippage import SLIPPAGE, FillFacts

__all__ = ["PricedFills", "fill_price", "had_to_wait"]

STOPS = (Order.Stop, Order.StopTrail)


def fill_price(costs: Costs, fill: FillFacts, limit: float | None = None) -> float:
    """Return the price of a fill (quote currency) after slippage and on the tick, never worse than `limit`.

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
        if costs.tick_size:
            price = round_to_tick(price, costs.tick_size, up=True)
        return price if limit is None else min(price, limit)
    price = fill.price * (1.0 - move)
    if costs.tick_size:
        # Below one tick the price stays: rounding to 0 would give the asset away.
        price = round_to_tick(price, costs.tick_size, up=False) or price
    return price if limit is None else max(price, limit)


def had_to_wait(order: Any, opening: float) -> bool:
    """Return whether a limit order rested in the book: it could not be filled at the open of its bar."""
    if order.exectype != Order.Limit:
        return False
    return bool(opening > order.created.price if order.isbuy() else opening < order.created.price)


class PricedFills(PerpetualSettings):
    """Price and size the fills of Backtrader's order types, with full slippage even beyond the bar's range."""

    _holdings: dict[Any, Holding]

    def _try_exec(self, order: Any) -> None:
        # Backtrader calls its slippage method without the order, so the order is stored here.
        self._filling = order
        data = order.data
        if not self._holdings[data].replayed:
            # Backtrader prefers these to the lines; of a resampled data's last bar they are those of the bar before.
            data.tick_open = data.tick_high = data.tick_low = data.tick_close = None
        if order.triggered and order.exectype in STOPS:
            # A stop that was met but not wholly filled is a market order from then on.
            quote = self._holdings[order.data].quote()
            self._try_exec_market(order, quote.open, quote.high, quote.low)
        else:
            super()._try_exec(order)

    def _slip_up(self, pmax: float, price: float, doslip: bool = True, lim: bool = False) -> float:
        return self._slip(price, self._own_limit() if lim else None)

    def _slip_down(self, pmin: float, price: float, doslip: bool = True, lim: bool = False) -> float:
        return self._slip(price, self._own_limit() if lim else None)

    def _own_limit(self) -> float:
        """Return the limit of the order; Backtrader's own bound is the bar's range, which slippage may leave."""
        order = self._filling
        is_limit = order.exectype == Order.Limit
        return float(order.created.price if is_limit else order.created.pricelimit)

    def _slip(self, price: float, limit: float | None) -> float:
        order = self._filling
        holding = self._holdings[order.data]
        if not math.isfinite(price):
            holding.refuse_price()
        opening, high, low, _, volume = holding.quote()
        size = order.executed.remsize
        if holding.participation:
            size = self._share(holding, size) or size
        fill = FillFacts(size, price, order.getordername().lower(), opening, high, low, volume)
        return fill_price(self.costs_of(order.data), fill, limit)

    def _fill_size(self, order: Any, held: float, price: float, ago: int | None) -> float:
        """Return how much of an order is filled now (signed contracts), 0.0 if it must wait."""
        size = order.executed.remsize
        if self.p.filler is not None:
            filled = min(abs(size), self.p.filler(order, price, ago))
            return filled if size > 0 else -filled
        holding = self._holdings[order.data]
        if holding.participation:
            part = self._share(holding, size)
            if part != size:
                return part
        if held and abs(held + size) <= 1e-9 * abs(held):
            # 0.1 + 0.2 - 0.3 must be exactly 0, otherwise the position and its trade would never be closed.
            size = order.executed.remsize = -held
        return float(size)

    @staticmethod
    def _share(holding: Holding, size: float) -> float:
        """Return the part of `size` that the rest of the bar's volume allows, in whole lots."""
        allowed = max(holding.participation * holding.quote().volume - holding.traded, 0.0)
        if abs(size) <= allowed:
            return size
        return math.copysign(round_to_step(allowed, holding.commission.p.lot_step), size) if allowed else 0.0
