"""One bar of the account in compiled form: the order of events of `PerpetualBroker` for market orders."""

from __future__ import annotations

from typing import Any

from .book import Book, fee_of, value_of, worth_of, write_order
from .columns import BARS, CLOCK, CLOSE, FUNDING, HAS_BAR, MARK_CLOSE, MARK_HIGH, MARK_LOW, MARK_OPEN, STAMP
from .fills import check_sent, fill_waiting, trade
from .jit import compiled, inlined
from .layout import (
    CANCELED,
    CASH,
    FUNDING_PAID,
    INSURANCE,
    LINE,
    LIQUIDATED,
    LIQUIDATIONS,
    QUEUE,
    SENT,
    SETTLED,
    SETTLEMENTS,
    START,
)
from .liquidation import equity_and_need, gap, slide

__all__ = ["account_bar", "account_value"]


@inlined
def account_value(book: Book) -> float:
    """Return equity at the mark prices."""
    held = 0.0
    for k in range(book.count[LINE]):
        s = book.at[k].line
        held += book.at[s].size * book.at[s].mark
    return book.money[CASH] + held


@inlined
def account_bar(m: Any, u: int, span: Any, book: Book, costs: Any, tiers: Any) -> None:
    """Process the bars that close at number `u`."""
    if book.count[SENT]:
        check_sent(m, u, book, costs, tiers)
    if book.count[LINE]:
        _open_bar(m, u, span, book, costs, tiers)
    if book.count[QUEUE]:
        fill_waiting(m, u, span, book, costs, tiers)
    if book.count[LINE]:
        _close_bar(m, u, book, costs, tiers)


@inlined
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
            trade(book, costs[s], s, -book.at[s].size, price, fee, 0.0)
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


@inlined
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
        trade(book, costs[s], s, -book.at[s].size, price, part, 0.0)
        book.at[s].last_fill = int(m[BARS, s, u])
        book.at[s].status = LIQUIDATED
        write_order(book, s, m[CLOCK, 0, u])
        book.count[LIQUIDATIONS] += 1
    if book.money[CASH] < -1e-9 * book.money[START]:
        book.money[INSURANCE] -= book.money[CASH]
    book.money[CASH] = 0.0
