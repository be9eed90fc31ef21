"""One bar of the account in compiled form: the order of events of `PerpetualBroker` for market orders."""

from __future__ import annotations

import math
from typing import Any

from ..account.holdings import only_reduces, split_trade
from ..account.slippage import square_root_move
from .book import Book, fee_of, value_of, worth_of, write_order
from .columns import (
    BARS,
    CLOCK,
    CLOSE,
    FUNDING,
    HAS_BAR,
    INVENTED,
    MARK_CLOSE,
    MARK_HIGH,
    MARK_LOW,
    MARK_OPEN,
    OPEN,
    STAMP,
    VOLUME,
)
from .compiled import compiled
from .layout import (
    CANCELED,
    CASH,
    COMPLETED,
    FEES,
    FUNDING_PAID,
    INSURANCE,
    LINE,
    LIQUIDATED,
    LIQUIDATIONS,
    MARGIN,
    QUEUE,
    REFUSED_MARGIN,
    REJECTED,
    SENT,
    SETTLED,
    SETTLEMENTS,
    SHORT_ON_SPOT,
    SLIPPAGE,
    START,
    TRADED,
    WAITED,
)
from .liquidation import equity_and_need, gap, is_margined, slide
from .steps import on_step, on_tick

__all__ = ["account_bar", "account_value"]


@compiled
def account_value(book: Book) -> float:
    """Return equity at the mark prices."""
    held = 0.0
    for k in range(book.count[LINE]):
        s = book.at[k].line
        held += book.at[s].size * book.at[s].mark
    return book.money[CASH] + held


@compiled
def account_bar(m: Any, u: int, span: Any, book: Book, costs: Any, tiers: Any) -> None:
    """Process the bars that close at number `u`."""
    if book.count[SENT]:
        _check_sent(m, u, book, costs, tiers)
    if book.count[LINE]:
        _open_bar(m, u, span, book, costs, tiers)
    if book.count[QUEUE]:
        _fill(m, u, span, book, costs, tiers)
    if book.count[LINE]:
        _close_bar(m, u, book, costs, tiers)


@compiled
def _check_sent(m: Any, u: int, book: Book, costs: Any, tiers: Any) -> None:
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
            _refuse_for_margin(m, u, book, s)
    for k in range(book.count[LINE]):
        book.at[book.at[k].line].size = book.at[book.at[k].line].last
    book.count[SENT] = 0


@compiled
def _within_limit(c: Any, tiers: Any, value: float) -> bool:
    count = int(c.tiers)
    return count == 0 or abs(value) <= tiers[count - 1, 0]


@compiled
def _refuse_for_margin(m: Any, u: int, book: Book, s: int) -> None:
    book.count[MARGIN] += 1
    if book.at[s].filled != 0.0:
        book.at[s].last_fill = int(m[BARS, s, u])
    book.at[s].status = REFUSED_MARGIN
    write_order(book, s, m[CLOCK, 0, u])


@compiled
def _open_bar(m: Any, u: int, span: Any, book: Book, costs: Any, tiers: Any) -> None:
    ended = positions = 0
    for k in range(book.count[LINE]):
        s = book.at[k].line
        book.at[s].last = book.at[s].mark
        if m[HAS_BAR, s, u]:
            book.at[s].traded = 0.0
            book.at[s].mark = worth_of(costs[s], m[MARK_OPEN, s, u])
        elif m[BARS, s, u] == span.total[s]:
            ended += 1
        if book.at[s].size != 0.0:
            positions += 1
            if m[HAS_BAR, s, u] and costs[s].funding and m[FUNDING, s, u] != 0.0:
                payment = value_of(costs[s], book.at[s].size, m[MARK_OPEN, s, u]) * m[FUNDING, s, u]
                book.money[FUNDING_PAID] += payment
                book.money[CASH] -= payment
    if ended:
        positions = _settle_ended(m, u, span, book, costs)
    if positions:
        equity, need = equity_and_need(book, costs, tiers, book.at.mark)
        if equity <= need:
            found, at, fee = gap(book, costs, tiers, book.at.last, book.at.mark)
            if found:
                _liquidate(m, u, book, costs, book.at.last, book.at.mark, at, fee)


@compiled
def _settle_ended(m: Any, u: int, span: Any, book: Book, costs: Any) -> int:
    """Settle the markets that missed a bar because they have ended; return the number of positions left."""
    kept = positions = 0
    for k in range(book.count[LINE]):
        s = book.at[k].line
        due = m[CLOCK, 0, u] >= m[STAMP, s, u] + span.bar_ms
        if m[HAS_BAR, s, u] or m[BARS, s, u] != span.total[s] or not due:
            book.at[kept].line = s
            kept += 1
            positions += book.at[s].size != 0.0
            continue
        _cancel_queued(m, u, book, s)
        if book.at[s].size != 0.0:
            price = m[CLOSE, s, u]
            _start_forced(book, s, int(m[STAMP, s, u]))
            fee = fee_of(costs[s], book.at[s].size, price)
            _trade(book, costs[s], s, -book.at[s].size, price, fee, 0.0)
            book.at[s].last_fill = int(m[BARS, s, u])
            book.at[s].status = SETTLED
            write_order(book, s, m[CLOCK, 0, u])
            book.count[SETTLEMENTS] += 1
        book.at[s].over = True
        book.at[s].held = False
    book.count[LINE] = kept
    return positions


@compiled
def _cancel_queued(m: Any, u: int, book: Book, s: int) -> None:
    """Cancel the waiting order of symbol `s`, of all symbols if `s` is negative."""
    kept = 0
    for k in range(book.count[QUEUE]):
        other = book.at[k].queue
        if s < 0 or other == s:
            if book.at[other].filled != 0.0:
                book.at[other].last_fill = int(m[BARS, other, u])
            book.at[other].status = CANCELED
            write_order(book, other, m[CLOCK, 0, u])
        else:
            book.at[kept].queue = other
            kept += 1
    book.count[QUEUE] = kept


@compiled
def _start_forced(book: Book, s: int, decided: int) -> None:
    """Begin an order that the account sends itself."""
    book.at[s].asked, book.at[s].filled = -book.at[s].size, 0.0
    book.at[s].paid = book.at[s].value = book.at[s].slipped = 0.0
    book.at[s].decided = decided


@compiled
def _trade(book: Book, c: Any, s: int, size: float, price: float, fee: float, slipped: float) -> None:
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


@compiled
def _fill(m: Any, u: int, span: Any, book: Book, costs: Any, tiers: Any) -> None:
    """Fill the waiting orders at the open of their bars, in their order."""
    kept, count = 0, book.count[QUEUE]
    for k in range(count):
        s = book.at[k].queue
        stamp = m[STAMP, s, u]
        if stamp <= book.at[s].decided or stamp - span.bar_ms < book.at[s].decided:
            waits = True
        elif m[INVENTED, s, u]:
            waits = True
            if not book.at[s].waited:
                book.at[s].waited = True
                book.count[WAITED] += 1
        else:
            waits = _fill_one(m, u, book, costs, tiers, s)
        if waits:
            book.at[kept].queue = s
            kept += 1
    book.count[QUEUE] = kept


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
def _fill_one(m: Any, u: int, book: Book, costs: Any, tiers: Any, s: int) -> bool:
    """Fill an order as far as possible; return whether it waits on."""
    c, order, held = costs[s], book.at[s].order, book.at[s].size
    opening, volume = m[OPEN, s, u], m[VOLUME, s, u]
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
            book.at[s].last_fill = int(m[BARS, s, u])
        book.at[s].status = REJECTED
        write_order(book, s, m[CLOCK, 0, u])
        return False
    fee = fee_of(c, size, price)
    refused = not (only_reduces(held, size) or _can_margin(book, costs, tiers, s, size, price, fee))
    if refused:
        closing = -held if held * size < 0.0 else 0.0
        fee, size = fee * abs(closing / size), closing
    if size != 0.0:
        _trade(book, c, s, size, price, fee, _slipped(c, size, opening, price))
    if refused:
        _refuse_for_margin(m, u, book, s)
        return False
    book.at[s].order = order - size
    if book.at[s].order != 0.0:
        return True
    book.at[s].last_fill = int(m[BARS, s, u])
    book.at[s].status = COMPLETED
    write_order(book, s, m[CLOCK, 0, u])
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


@compiled
def _close_bar(m: Any, u: int, book: Book, costs: Any, tiers: Any) -> None:
    positions = 0
    for k in range(book.count[LINE]):
        s = book.at[k].line
        book.at[s].worst = book.at[s].mark
        if book.at[s].size != 0.0:
            positions += 1
            if m[HAS_BAR, s, u]:
                worst = m[MARK_LOW, s, u] if book.at[s].size > 0.0 else m[MARK_HIGH, s, u]
                book.at[s].worst = worth_of(costs[s], worst)
    if positions:
        equity, need = equity_and_need(book, costs, tiers, book.at.worst)
        if equity <= need:
            found, at, fee = slide(book, costs, tiers, book.at.mark, book.at.worst)
            if found:
                _liquidate(m, u, book, costs, book.at.mark, book.at.worst, at, fee)
    elif book.money[CASH] < 0.0:
        book.money[INSURANCE] -= book.money[CASH]
        book.money[CASH] = 0.0
    for k in range(book.count[LINE]):
        s = book.at[k].line
        book.at[s].mark = worth_of(costs[s], m[MARK_CLOSE, s, u])


@compiled
def _liquidate(m: Any, u: int, book: Book, costs: Any, start: Any, end: Any, at: float, fee: float) -> None:
    """Close all positions at the point `at` of the path, and cancel all waiting orders."""
    _cancel_queued(m, u, book, -1)
    total = 0.0
    for k in range(book.count[LINE]):
        s = book.at[k].line
        total += abs(book.at[s].size) * abs(start[s] + at * (end[s] - start[s]))
    for k in range(book.count[LINE]):
        s = book.at[k].line
        if book.at[s].size == 0.0:
            continue
        worth = start[s] + at * (end[s] - start[s])
        price = -costs[s].mult / worth if costs[s].inverse else worth / costs[s].mult
        part = fee * (abs(book.at[s].size) * abs(worth)) / total
        _start_forced(book, s, int(m[STAMP, s, u]))
        _trade(book, costs[s], s, -book.at[s].size, price, part, 0.0)
        book.at[s].last_fill = int(m[BARS, s, u])
        book.at[s].status = LIQUIDATED
        write_order(book, s, m[CLOCK, 0, u])
        book.count[LIQUIDATIONS] += 1
    if book.money[CASH] < -1e-9 * book.money[START]:
        book.money[INSURANCE] -= book.money[CASH]
    book.money[CASH] = 0.0
