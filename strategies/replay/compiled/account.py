"""One bar of the account in compiled form: the order of events of `PerpetualBroker` for market orders."""

from __future__ import annotations

from typing import Any

from .book import Book, fee_of, maintenance_margin, value_of, worth_of, write_order
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
    POSITIONS,
    QUEUE,
    SENT,
    SETTLED,
    SETTLEMENTS,
    START,
)
from .liquidation import equity_and_need, gap, slide

__all__ = ["account_bar"]


@inlined
def account_bar(bars: Any, u: int, span: Any, book: Book, costs: Any, tiers: Any) -> float:
    """Process the bars that close at number `u`, and return equity at the mark prices."""
    if book.count[SENT]:
        check_sent(bars, u, book, costs, tiers)
    if book.count[LINE]:
        _open_bar(bars, u, span, book, costs, tiers)
    if book.count[QUEUE]:
        fill_waiting(bars, u, span, book, costs, tiers)
    if book.count[LINE]:
        _close_bar(bars, u, book, costs, tiers)
    held, positions = 0.0, 0
    for k in range(book.count[LINE]):
        s = book.at[k].line
        book.at[s].mark = worth_of(costs[s], bars[u, s].mark_close)
        held += book.at[s].size * book.at[s].mark
        positions += book.at[s].size != 0.0
    book.count[POSITIONS] = positions
    return book.money[CASH] + held


@inlined
def _open_bar(bars: Any, u: int, span: Any, book: Book, costs: Any, tiers: Any) -> None:
    ended = positions = 0
    for k in range(book.count[LINE]):
        s = book.at[k].line
        book.at[s].last = book.at[s].mark
        if bars[u, s].has_bar:
            book.at[s].traded = 0.0
            book.at[s].mark = worth_of(costs[s], bars[u, s].mark_open)
        elif bars[u, s].bars == span.total[s]:
            ended += 1
        if book.at[s].size != 0.0:
            positions += 1
            if bars[u, s].has_bar and costs[s].funding and bars[u, s].funding != 0.0:
                payment = value_of(costs[s], book.at[s].size, bars[u, s].mark_open) * bars[u, s].funding
                book.money[FUNDING_PAID] += payment
                book.trips[s].paid += payment
                book.money[CASH] -= payment
    if ended:
        positions = _settle_ended(bars, u, span, book, costs)
    if positions:
        equity, need = equity_and_need(book, costs, tiers, book.at.mark)
        if equity <= need:
            found, at, fee = gap(book, costs, tiers, book.at.last, book.at.mark)
            if found:
                _liquidate(bars, u, book, costs, book.at.last, book.at.mark, at, fee)


@compiled
def _settle_ended(bars: Any, u: int, span: Any, book: Book, costs: Any) -> int:
    """Settle the markets that missed a bar because they have ended; return the number of positions left."""
    kept = positions = 0
    for k in range(book.count[LINE]):
        s = book.at[k].line
        due = bars[u, 0].clock >= bars[u, s].stamp + span.bar_ms
        if bars[u, s].has_bar or bars[u, s].bars != span.total[s] or not due:
            book.at[kept].line = s
            kept += 1
            positions += book.at[s].size != 0.0
            continue
        _cancel_queued(bars, u, book, s)
        if book.at[s].size != 0.0:
            price = bars[u, s].close
            _start_forced(book, s, int(bars[u, s].stamp))
            fee = fee_of(costs[s], book.at[s].size, price)
            trade(book, costs[s], s, -book.at[s].size, price, fee, 0.0)
            book.at[s].last_fill = int(bars[u, s].bars)
            book.at[s].status = SETTLED
            write_order(book, s, bars[u, 0].clock)
            book.count[SETTLEMENTS] += 1
        book.at[s].over = True
        book.at[s].held = False
    book.count[LINE] = kept
    return positions


@compiled
def _cancel_queued(bars: Any, u: int, book: Book, s: int) -> None:
    """Cancel the waiting order of symbol `s`, of all symbols if `s` is negative."""
    kept = 0
    for k in range(book.count[QUEUE]):
        other = book.at[k].queue
        if s < 0 or other == s:
            if book.at[other].filled != 0.0:
                book.at[other].last_fill = int(bars[u, other].bars)
            book.at[other].status = CANCELED
            write_order(book, other, bars[u, 0].clock)
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
def _close_bar(bars: Any, u: int, book: Book, costs: Any, tiers: Any) -> None:
    positions, equity, need = 0, book.money[CASH], 0.0
    for k in range(book.count[LINE]):
        s = book.at[k].line
        worst = book.at[s].mark
        if book.at[s].size != 0.0:
            positions += 1
            if bars[u, s].has_bar:
                price = bars[u, s].mark_low if book.at[s].size > 0.0 else bars[u, s].mark_high
                worst = worth_of(costs[s], price)
            value = book.at[s].size * worst
            equity += value
            need += maintenance_margin(costs[s], tiers[s], value)
        book.at[s].worst = worst
    if positions:
        if equity <= need:
            found, at, fee = slide(book, costs, tiers, book.at.mark, book.at.worst)
            if found:
                _liquidate(bars, u, book, costs, book.at.mark, book.at.worst, at, fee)
    elif book.money[CASH] < 0.0:
        book.money[INSURANCE] -= book.money[CASH]
        book.money[CASH] = 0.0


@compiled
def _liquidate(
    bars: Any, u: int, book: Book, costs: Any, start: Any, end: Any, at: float, fee: float
) -> None:
    """Close all positions at the point `at` of the path, and cancel all waiting orders."""
    _cancel_queued(bars, u, book, -1)
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
        _start_forced(book, s, int(bars[u, s].stamp))
        trade(book, costs[s], s, -book.at[s].size, price, part, 0.0)
        book.at[s].last_fill = int(bars[u, s].bars)
        book.at[s].status = LIQUIDATED
        write_order(book, s, bars[u, 0].clock)
        book.count[LIQUIDATIONS] += 1
    if book.money[CASH] < -1e-9 * book.money[START]:
        book.money[INSURANCE] -= book.money[CASH]
    book.money[CASH] = 0.0
