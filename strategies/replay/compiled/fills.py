"""Margin checks and fills of market orders in compiled form: price, size, fee."""

from __future__ import annotations

import math
from typing import Any

from ...account.holdings import only_reduces, split_trade
from ...account.slippage import square_root_move
from .book import Book, fee_of, value_of, worth_of, write_order
from .jit import compiled
from .layout import (
    CASH,
    COMPLETED,
    FEES,
    LINE,
    MARGIN,
    QUEUE,
    REFUSED_MARGIN,
    REJECTED,
    SENT,
    SHORT_ON_SPOT,
    SLIPPAGE,
    TRADED,
    WAITED,
)
from .liquidation import is_margined
from .steps import on_step, on_tick
from .trips import match

__all__ = ["check_sent", "fill_waiting", "refuse_for_margin", "trade"]


@compiled
def check_sent(bars: Any, u: int, book: Book, costs: Any, tiers: Any) -> None:
    """Check the margin of the sent orders at the last close, in their order; each counts for those after it."""
    cash, count = book.money[CASH], book.count[SENT]
    for k in range(book.count[LINE]):
        book.at[book.at[k].line].last = book.at[book.at[k].line].size
    for k in range(count):
        s = book.at[k].sent
        c, size, price = costs[s], book.at[s].order, book.at[s].created
        worth = worth_of(c, price)
        after_cash = cash - size * worth - fee_of(c, size, price)
        kept, opened = split_trade(book.at[s].size, size)
        after = book.at[s].size * kept + opened
        fits = only_reduces(book.at[s].size, size) or (
            _within_limit(c, tiers[s], after * worth)
            and is_margined(book, costs, tiers, after_cash, s, after, worth)
        )
        if fits:
            cash = after_cash
            book.at[s].size = after
            book.at[book.count[QUEUE]].queue = s
            book.count[QUEUE] += 1
        else:
            refuse_for_margin(bars, u, book, s)
    for k in range(book.count[LINE]):
        book.at[book.at[k].line].size = book.at[book.at[k].line].last
    book.count[SENT] = 0


@compiled
def fill_waiting(bars: Any, u: int, span: Any, book: Book, costs: Any, tiers: Any) -> None:
    """Fill the waiting orders at the open of their bars, in their order."""
    kept, count = 0, book.count[QUEUE]
    for k in range(count):
        s = book.at[k].queue
        stamp = bars[u, s].stamp
        if stamp <= book.at[s].decided or stamp - span.bar_ms < book.at[s].decided:
            waits = True
        elif bars[u, s].invented:
            waits = True
            if not book.at[s].waited:
                book.at[s].waited = True
                book.count[WAITED] += 1
        else:
            waits = _fill_one(bars, u, book, costs, tiers, s)
        if waits:
            book.at[kept].queue = s
            kept += 1
    book.count[QUEUE] = kept


@compiled
def trade(book: Book, c: Any, s: int, size: float, price: float, fee: float, slipped: float) -> None:
    book.money[CASH] -= size * worth_of(c, price) + fee
    book.at[s].size += size
    book.at[s].traded += abs(size)
    value = abs(value_of(c, size, price))
    book.money[FEES] += fee
    book.money[TRADED] += value
    book.money[SLIPPAGE] += slipped
    book.at[s].filled += size
    book.at[s].paid += fee
    book.at[s].value += value
    book.at[s].slipped += slipped
    match(book.trips[s], book.money, book.count, c, size, price, fee)


@compiled
def refuse_for_margin(bars: Any, u: int, book: Book, s: int) -> None:
    book.count[MARGIN] += 1
    if book.at[s].filled != 0.0:
        book.at[s].last_fill = int(bars[u, s].bars)
    book.at[s].status = REFUSED_MARGIN
    write_order(book, s, bars[u, 0].clock)


@compiled
def _within_limit(c: Any, tiers: Any, value: float) -> bool:
    count = int(c.tiers)
    return count == 0 or abs(value) <= tiers[count - 1, 0]


@compiled
def _share(c: Any, volume: float, traded: float, size: float) -> float:
    """Return the part of an order that the rest of the bar's volume allows, in whole lots."""
    allowed = max(c.participation * volume - traded, 0.0)
    if abs(size) <= allowed:
        return size
    return math.copysign(on_step(allowed, c.lot_units, c.lot_scale, False), size) if allowed else 0.0


@compiled
def _price(c: Any, opening: float, size: float, volume: float) -> float:
    """Return the price of a fill, as `fill_price.fill_price`."""
    if c.slippage_code == 0:
        move = c.slippage
    elif c.slippage_code == 1:
        move = c.half_spread
    else:
        move = square_root_move(c.half_spread, c.impact, size, volume)
    if size > 0.0:
        price = opening * (1.0 + move)
        return on_tick(price, c.tick_units, c.tick_scale, True)
    price = opening * (1.0 - move)
    below = on_tick(price, c.tick_units, c.tick_scale, False)
    return below if below != 0.0 else price


@compiled
def _fill_one(bars: Any, u: int, book: Book, costs: Any, tiers: Any, s: int) -> bool:
    """Fill an order as far as possible; return whether it waits on."""
    c, order, held = costs[s], book.at[s].order, book.at[s].size
    opening, volume = bars[u, s].open, bars[u, s].volume
    size = order
    if c.participation > 0.0:
        size = _share(c, volume, book.at[s].traded, order)
    price = _price(c, opening, size if size != 0.0 else order, volume)
    if size == order and held != 0.0 and abs(held + size) <= 1e-9 * abs(held):
        size = order = -held  # exactly 0 is left
    if size == 0.0:
        return True
    if c.spot and held + size < -1e-9 * abs(size):
        book.count[SHORT_ON_SPOT] += 1
        if book.at[s].filled != 0.0:
            book.at[s].last_fill = int(bars[u, s].bars)
        book.at[s].status = REJECTED
        write_order(book, s, bars[u, 0].clock)
        return False
    fee = fee_of(c, size, price)
    refused = not (only_reduces(held, size) or _can_margin(book, costs, tiers, s, size, price, fee))
    if refused:
        closing = -held if held * size < 0.0 else 0.0
        fee, size = fee * abs(closing / size), closing
    if size != 0.0:
        trade(book, c, s, size, price, fee, _slipped(c, size, opening, price))
    if refused:
        refuse_for_margin(bars, u, book, s)
        return False
    book.at[s].order = order - size
    if book.at[s].order != 0.0:
        return True
    book.at[s].last_fill = int(bars[u, s].bars)
    book.at[s].status = COMPLETED
    write_order(book, s, bars[u, 0].clock)
    return False


@compiled
def _slipped(c: Any, size: float, opening: float, price: float) -> float:
    if c.inverse:
        return size * c.mult * (1.0 / opening - 1.0 / price)
    return size * (price - opening) * c.mult


@compiled
def _can_margin(book: Book, costs: Any, tiers: Any, s: int, size: float, price: float, fee: float) -> bool:
    kept, opened = split_trade(book.at[s].size, size)
    after = book.at[s].size * kept + opened
    if not _within_limit(costs[s], tiers[s], after * book.at[s].mark):
        return False
    cash = book.money[CASH] - size * worth_of(costs[s], price) - fee
    return is_margined(book, costs, tiers, cash, s, after, book.at[s].mark)
