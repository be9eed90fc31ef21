"""One bar of the account in compiled form: the order of events of `PerpetualBroker` for market orders."""

from __future__ import annotations

import math
from typing import Any

from ..account.holdings import only_reduces, split_trade
from ..account.slippage import square_root_move
from .book import Book, fee_of, value_of, worth_of, write_order
from .compiled import compiled
from .layout import (
    CANCELED,
    CASH,
    COMPLETED,
    FEES,
    FUNDING,
    INSURANCE,
    LINE,
    LIQUIDATIONS,
    MARGIN,
    QUEUE,
    REFUSED_MARGIN,
    REJECTED,
    SENT,
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
        s = book.line[k]
        held += book.size[s] * book.mark[s]
    return book.money[CASH] + held


@compiled
def account_bar(m: Any, u: int, span: Any, book: Book, costs: Any, tiers: Any, prices: Any) -> None:
    """Process the bars that close at number `u`; `prices` [N] is working memory."""
    if book.count[SENT]:
        _check_sent(m, u, book, costs, tiers)
    if book.count[LINE]:
        _open_bar(m, u, span, book, costs, tiers)
    if book.count[QUEUE]:
        _fill(m, u, span, book, costs, tiers)
    if book.count[LINE]:
        _close_bar(m, u, book, costs, tiers, prices)


@compiled
def _check_sent(m: Any, u: int, book: Book, costs: Any, tiers: Any) -> None:
    """Check the margin of the sent orders at the last close, in their order; each counts for those after it."""
    cash, count = book.money[CASH], book.count[SENT]
    before = book.size.copy()
    for k in range(count):
        s = book.sent[k]
        c, size, price = costs[s], book.order[s], book.created[s]
        worth = worth_of(c, price)
        after_cash = cash - size * worth - fee_of(c, size, price)
        kept, opened = split_trade(book.size[s], size)
        after = book.size[s] * kept + opened
        fits = only_reduces(book.size[s], size) or (
            _within_limit(c, tiers[s], after * worth)
            and is_margined(book, costs, tiers, after_cash, s, after, worth)
        )
        if fits:
            cash = after_cash
            book.size[s] = after
            book.queue[book.count[QUEUE]] = s
            book.count[QUEUE] += 1
        else:
            _refuse_for_margin(m, u, book, s)
    book.size[:] = before
    book.count[SENT] = 0


@compiled
def _within_limit(c: Any, tiers: Any, value: float) -> bool:
    count = int(c.tiers)
    return count == 0 or abs(value) <= tiers[count - 1, 0]


@compiled
def _refuse_for_margin(m: Any, u: int, book: Book, s: int) -> None:
    book.count[MARGIN] += 1
    if book.filled[s] != 0.0:
        book.last_fill[s] = m.bars[s, u]
    write_order(book, s, m.close_ms[u], REFUSED_MARGIN, False, False)


@compiled
def _open_bar(m: Any, u: int, span: Any, book: Book, costs: Any, tiers: Any) -> None:
    ended = positions = 0
    for k in range(book.count[LINE]):
        s = book.line[k]
        book.last[s] = book.mark[s]
        if m.has_bar[s, u]:
            book.traded[s] = 0.0
            book.mark[s] = worth_of(costs[s], m.mark_open[s, u])
        elif m.bars[s, u] == span.total[s]:
            ended += 1
        if book.size[s] != 0.0:
            positions += 1
            if m.has_bar[s, u] and costs[s].funding and m.funding[s, u] != 0.0:
                payment = value_of(costs[s], book.size[s], m.mark_open[s, u]) * m.funding[s, u]
                book.money[FUNDING] += payment
                book.money[CASH] -= payment
    if ended:
        positions = _settle_ended(m, u, span, book, costs)
    if positions:
        equity, need = equity_and_need(book, costs, tiers, book.mark)
        if equity <= need:
            found, at, fee = gap(book, costs, tiers, book.last, book.mark)
            if found:
                _liquidate(m, u, book, costs, book.last, book.mark, at, fee)


@compiled
def _settle_ended(m: Any, u: int, span: Any, book: Book, costs: Any) -> int:
    """Settle the markets that missed a bar because they have ended; return the number of positions left."""
    kept = positions = 0
    for k in range(book.count[LINE]):
        s = book.line[k]
        due = m.close_ms[u] >= m.stamp[s, u] + span.bar_ms
        if m.has_bar[s, u] or m.bars[s, u] != span.total[s] or not due:
            book.line[kept] = s
            kept += 1
            positions += book.size[s] != 0.0
            continue
        _cancel_queued(m, u, book, s)
        if book.size[s] != 0.0:
            price = m.close[s, u]
            _start_forced(book, s, m.stamp[s, u])
            fee = fee_of(costs[s], book.size[s], price)
            _trade(book, costs[s], s, -book.size[s], price, fee, 0.0)
            book.last_fill[s] = m.bars[s, u]
            write_order(book, s, m.close_ms[u], COMPLETED, False, True)
            book.count[SETTLEMENTS] += 1
        book.over[s] = True
        book.held[s] = False
    book.count[LINE] = kept
    return positions


@compiled
def _cancel_queued(m: Any, u: int, book: Book, s: int) -> None:
    """Cancel the waiting order of symbol `s`, of all symbols if `s` is negative."""
    kept = 0
    for k in range(book.count[QUEUE]):
        other = book.queue[k]
        if s < 0 or other == s:
            if book.filled[other] != 0.0:
                book.last_fill[other] = m.bars[other, u]
            write_order(book, other, m.close_ms[u], CANCELED, False, False)
        else:
            book.queue[kept] = other
            kept += 1
    book.count[QUEUE] = kept


@compiled
def _start_forced(book: Book, s: int, decided: int) -> None:
    """Begin an order that the account sends itself."""
    book.asked[s], book.filled[s] = -book.size[s], 0.0
    book.paid[s] = book.value[s] = book.slipped[s] = 0.0
    book.decided[s] = decided


@compiled
def _trade(book: Book, c: Any, s: int, size: float, price: float, fee: float, slipped: float) -> None:
    book.money[CASH] -= size * worth_of(c, price) + fee
    book.size[s] += size
    book.traded[s] += abs(size)
    value = abs(value_of(c, size, price))
    book.money[FEES] += fee
    book.money[TRADED] += value
    book.money[SLIPPAGE] += slipped
    book.filled[s] += size
    book.paid[s] += fee
    book.value[s] += value
    book.slipped[s] += slipped


@compiled
def _fill(m: Any, u: int, span: Any, book: Book, costs: Any, tiers: Any) -> None:
    """Fill the waiting orders at the open of their bars, in their order."""
    kept, count = 0, book.count[QUEUE]
    for k in range(count):
        s = book.queue[k]
        stamp = m.stamp[s, u]
        if stamp <= book.decided[s] or stamp - span.bar_ms < book.decided[s]:
            waits = True
        elif m.invented[s, u]:
            waits = True
            if not book.waited[s]:
                book.waited[s] = True
                book.count[WAITED] += 1
        else:
            waits = _fill_one(m, u, book, costs, tiers, s)
        if waits:
            book.queue[kept] = s
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
    c, order, held = costs[s], book.order[s], book.size[s]
    opening, volume = m.open[s, u], m.volume[s, u]
    size = order
    if c.participation > 0.0:
        size = _share(c, volume, book.traded[s], order)
    price = _price(c, opening, size if size != 0.0 else order, volume)
    if size == order and held != 0.0 and abs(held + size) <= 1e-9 * abs(held):
        size = order = -held  # exactly 0 is left
    if size == 0.0:
        return True
    if c.spot and held + size < -1e-9 * abs(size):
        book.count[SHORT_ON_SPOT] += 1
        if book.filled[s] != 0.0:
            book.last_fill[s] = m.bars[s, u]
        write_order(book, s, m.close_ms[u], REJECTED, False, False)
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
    book.order[s] = order - size
    if book.order[s] != 0.0:
        return True
    book.last_fill[s] = m.bars[s, u]
    write_order(book, s, m.close_ms[u], COMPLETED, False, False)
    return False


@compiled
def _slipped(c: Any, size: float, opening: float, price: float) -> float:
    if c.inverse:
        return size * c.mult * (1.0 / opening - 1.0 / price)
    return size * (price - opening) * c.mult


@compiled
def _can_margin(book: Book, costs: Any, tiers: Any, s: int, size: float, price: float, fee: float) -> bool:
    kept, opened = split_trade(book.size[s], size)
    after = book.size[s] * kept + opened
    if not _within_limit(costs[s], tiers[s], after * book.mark[s]):
        return False
    cash = book.money[CASH] - size * worth_of(costs[s], price) - fee
    return is_margined(book, costs, tiers, cash, s, after, book.mark[s])


@compiled
def _close_bar(m: Any, u: int, book: Book, costs: Any, tiers: Any, prices: Any) -> None:
    positions = 0
    for k in range(book.count[LINE]):
        s = book.line[k]
        prices[s] = book.mark[s]
        if book.size[s] != 0.0:
            positions += 1
            if m.has_bar[s, u]:
                worst = m.mark_low[s, u] if book.size[s] > 0.0 else m.mark_high[s, u]
                prices[s] = worth_of(costs[s], worst)
    if positions:
        equity, need = equity_and_need(book, costs, tiers, prices)
        if equity <= need:
            found, at, fee = slide(book, costs, tiers, book.mark, prices)
            if found:
                _liquidate(m, u, book, costs, book.mark, prices, at, fee)
    elif book.money[CASH] < 0.0:
        book.money[INSURANCE] -= book.money[CASH]
        book.money[CASH] = 0.0
    for k in range(book.count[LINE]):
        s = book.line[k]
        book.mark[s] = worth_of(costs[s], m.mark_close[s, u])


@compiled
def _liquidate(m: Any, u: int, book: Book, costs: Any, start: Any, end: Any, at: float, fee: float) -> None:
    """Close all positions at the point `at` of the path, and cancel all waiting orders."""
    _cancel_queued(m, u, book, -1)
    total = 0.0
    for k in range(book.count[LINE]):
        s = book.line[k]
        total += abs(book.size[s]) * abs(start[s] + at * (end[s] - start[s]))
    for k in range(book.count[LINE]):
        s = book.line[k]
        if book.size[s] == 0.0:
            continue
        worth = start[s] + at * (end[s] - start[s])
        price = -costs[s].mult / worth if costs[s].inverse else worth / costs[s].mult
        part = fee * (abs(book.size[s]) * abs(worth)) / total
        _start_forced(book, s, m.stamp[s, u])
        _trade(book, costs[s], s, -book.size[s], price, part, 0.0)
        book.last_fill[s] = m.bars[s, u]
        write_order(book, s, m.close_ms[u], COMPLETED, True, False)
        book.count[LIQUIDATIONS] += 1
    if book.money[CASH] < -1e-9 * book.money[START]:
        book.money[INSURANCE] -= book.money[CASH]
    book.money[CASH] = 0.0
