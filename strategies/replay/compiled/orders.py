"""The order that a decision sends, in compiled form: its size, and whether the exchange accepts it."""

from __future__ import annotations

import math
from typing import Any

from ...account.holdings import only_reduces
from ...decision import with_order
from ...sizing import exposure_to_size
from .book import Book, notional_of, value_of, worth_of, write_order
from .jit import compiled
from .layout import (
    DELISTED,
    LINE,
    NOTICES,
    QUEUE,
    REJECTED,
    RUINED,
    SENT,
    SHORT_ON_SPOT,
    TOO_SMALL,
    WITHDRAWN,
)
from .steps import on_step

__all__ = ["send_order", "take_notices"]


@compiled
def send_order(
    bars: Any, u: int, book: Book, c: Any, s: int, target: float, code: int, equity: float, held: float
) -> int:
    """Send the order for a target and return the reason code, as `ScoreStrategy` does."""
    if target == held and equity > 0.0 and book.at[s].order == 0.0:
        return code
    size, price = book.at[s].size, bars[u, s].close
    if book.at[s].order != 0.0:
        if target != 0.0 or book.at[s].order == -size:
            return code
        _cancel(bars, u, book, s)
    wanted = exposure_to_size(target, equity, price, None, value_of(c, 1.0, price))
    change = _order_size(c, wanted, size, price)
    if change != 0.0:
        _submit(bars, u, book, c, s, change, equity)
    return with_order(code, target, change)


@compiled
def take_notices(bars: Any, u: int, book: Book) -> None:
    """Take note of orders that the strategy has canceled: a part of them may have been filled."""
    for s in range(book.at.shape[0]):
        if book.at[s].notice:
            book.at[s].notice = False
            book.at[s].last_fill = int(bars[u, s].bars)
    book.count[NOTICES] = 0


@compiled
def _cancel(bars: Any, u: int, book: Book, s: int) -> None:
    kept = 0
    for k in range(book.count[QUEUE]):
        other = book.at[k].queue
        if other != s:
            book.at[kept].queue = other
            kept += 1
    book.count[QUEUE] = kept
    if book.at[s].filled != 0.0:
        book.at[s].notice = True
        book.count[NOTICES] += 1
    book.at[s].status = WITHDRAWN
    write_order(book, s, bars[u, 0].clock)


@compiled
def _order_size(c: Any, target: float, position: float, price: float) -> float:
    """Return `PerpetualCommission.order_size`."""
    if target == 0.0:
        return -position
    size = on_step(target - position, c.lot_units, c.lot_scale, True)
    if c.max_size > 0.0 and abs(size) > c.max_size:
        size = math.copysign(c.max_size, size)
    size = on_step(size, c.lot_units, c.lot_scale, False)
    return 0.0 if _is_too_small(c, size, price) else size


@compiled
def _is_too_small(c: Any, size: float, price: float) -> bool:
    return abs(size) < c.min_size or notional_of(c, size, price) < c.min_notional


@compiled
def _submit(bars: Any, u: int, book: Book, c: Any, s: int, size: float, equity: float) -> None:
    book.at[s].order = book.at[s].asked = size
    book.at[s].filled = book.at[s].paid = book.at[s].value = book.at[s].slipped = 0.0
    book.at[s].decided, book.at[s].created = int(bars[u, 0].clock), bars[u, s].close
    book.at[s].waited = False
    refusal = _refusal(bars, u, book, c, s, size, equity)
    if refusal:
        book.count[refusal] += 1
        book.at[s].status = REJECTED
        write_order(book, s, bars[u, 0].clock)
        return
    book.at[book.count[SENT]].sent = s
    book.count[SENT] += 1


@compiled
def _refusal(bars: Any, u: int, book: Book, c: Any, s: int, size: float, equity: float) -> int:
    """Return why the exchange would not accept an order, a place in `Book.count`; 0 if it would."""
    if equity <= 0.0:
        return RUINED
    if book.at[s].over:
        return DELISTED
    book.at[s].mark = worth_of(c, bars[u, s].mark_close)  # not kept up while nothing can change
    if not book.at[s].held:
        book.at[s].held = True
        book.at[book.count[LINE]].line = s
        book.count[LINE] += 1
    held = book.at[s].size
    if only_reduces(held, size) and abs(held + size) <= 1e-9 * abs(held):
        return 0
    if _is_too_small(c, size, bars[u, s].close):
        return TOO_SMALL
    if c.spot and size < 0.0 and held + size < -1e-9 * abs(size):
        return SHORT_ON_SPOT
    return 0
