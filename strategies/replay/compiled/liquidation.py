"""Margin of a compiled account, and where on a price path it is liquidated: `account.margin` over arrays."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .book import Book, initial_margin, maintenance_margin
from .jit import allocating, compiled, inlined
from .layout import CASH

__all__ = ["equity_and_need", "gap", "is_margined", "slide"]


@compiled
def is_margined(book: Book, costs: Any, tiers: Any, cash: float, s: int, size: float, mark: float) -> bool:
    """Return whether equity covers the initial margin if symbol `s` had this size and mark, with this cash."""
    equity, need = cash, 0.0
    for k in range(book.count[0]):
        other = book.at[k].line
        value = size * mark if other == s else book.at[other].size * book.at[other].mark
        equity += value
        need += initial_margin(costs[other], tiers[other], value)
    return equity >= need


@inlined
def equity_and_need(book: Book, costs: Any, tiers: Any, prices: Any) -> tuple[float, float]:
    """Return equity and maintenance margin with the positions at these worths [N]."""
    equity, need = book.money[CASH], 0.0
    for k in range(book.count[0]):
        s = book.at[k].line
        if book.at[s].size != 0.0:
            value = book.at[s].size * prices[s]
            equity += value
            need += maintenance_margin(costs[s], tiers[s], value)
    return equity, need


@compiled
def _at(start: float, end: float, at: float) -> float:
    return start + at * (end - start)


@compiled
def _equity(book: Book, start: Any, end: Any, at: float) -> float:
    total = 0.0
    for k in range(book.count[0]):
        s = book.at[k].line
        if book.at[s].size != 0.0:
            total += book.at[s].size * _at(start[s], end[s], at)
    return book.money[CASH] + total


@compiled
def _need(book: Book, costs: Any, tiers: Any, start: Any, end: Any, at: float) -> float:
    total = 0.0
    for k in range(book.count[0]):
        s = book.at[k].line
        if book.at[s].size != 0.0:
            price = _at(start[s], end[s], at)
            if costs[s].tiers > 0:
                total += maintenance_margin(costs[s], tiers[s], book.at[s].size * price)
            else:
                total += costs[s].maintenance * abs(book.at[s].size) * abs(price)
    return total


@compiled
def gap(book: Book, costs: Any, tiers: Any, start: Any, end: Any) -> tuple[bool, float, float]:
    """Return `margin.liquidate_on_gap`: (liquidated, point of the path, fee)."""
    equity = _equity(book, start, end, 1.0)
    if equity > _need(book, costs, tiers, start, end, 1.0):
        return False, 0.0, 0.0
    if equity >= 0.0:
        return True, 1.0, equity
    before = _equity(book, start, end, 0.0)
    return True, before / (before - equity) if before > 0.0 else 0.0, 0.0


@allocating
def slide(book: Book, costs: Any, tiers: Any, start: Any, end: Any) -> tuple[bool, float, float]:
    """Return `margin.liquidate_on_slide`: (liquidated, point of the path, fee)."""
    after = _spare(book, costs, tiers, start, end, 1.0)
    if after > 0.0:
        return False, 0.0, 0.0
    before = _spare(book, costs, tiers, start, end, 0.0)
    low, high = 0.0, 1.0
    for kink in _kinks(book, costs, tiers, start, end):
        spare = _spare(book, costs, tiers, start, end, kink)
        if spare <= 0.0:
            high, after = kink, spare
            break
        low, before = kink, spare
    step = before / (before - after) if before > 0.0 else 0.0
    at = low + step * (high - low)
    return True, at, max(_equity(book, start, end, at), 0.0)


@compiled
def _spare(book: Book, costs: Any, tiers: Any, start: Any, end: Any, at: float) -> float:
    return _equity(book, start, end, at) - _need(book, costs, tiers, start, end, at)


@allocating
def _kinks(book: Book, costs: Any, tiers: Any, start: Any, end: Any) -> Any:
    """Return the points of the path at which a position changes its risk tier, ascending."""
    found, count = np.empty(book.at.shape[0] * tiers.shape[1]), 0
    for k in range(book.count[0]):
        s = book.at[k].line
        if book.at[s].size != 0.0 and start[s] != end[s]:
            for row in range(int(costs[s].tiers)):
                worth = math.copysign(tiers[s, row, 0] / book.at[s].size, start[s])
                at = (worth - start[s]) / (end[s] - start[s])
                if 0.0 < at < 1.0:
                    found[count] = at
                    count += 1
    for k in range(1, count):
        place = k
        while place > 0 and found[place - 1] > found[place]:
            found[place - 1], found[place] = found[place], found[place - 1]
            place -= 1
    return found[:count]
