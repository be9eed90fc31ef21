"""The loop over sets in compiled form; numba keeps the result on disk."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np

from ..columns import CLOCK
from .book import Book, new_book, reset, write_order
from .decisions import Span, account_pass, new_plans
from .figures import FIGURES, Curve, new_curve, write_curve, write_figures
from .forecasts import builtin_rule, pass_of
from .jit import borrowed, compiled, outermost, shared, source_hash
from .layout import OPEN
from .wishes import NOTHING, Wishes, asking_pass, look_ahead, new_wishes

__all__ = ["OUT", "forget_others", "kernel_of"]

OUT = (*FIGURES, "known", "inside", "sure", "confidence_sum", "busy", "exposure_sum", "failed_at")
"""Columns of the figures of a set; `failed_at` is symbol * closes + close where a position rule failed, else -1."""

_KNOWN, _INSIDE, _SURE, _CONFIDENCE, _BUSY, _EXPOSURE, _FAILED = (
    OUT.index(name) for name in OUT[len(FIGURES) :]
)


@compiled
def copy(values: Any, into: Any) -> None:
    """Copy a line of numbers; an assignment of arrays compiles ten times as long."""
    for k in range(values.shape[0]):
        into[k] = values[k]


@compiled
def copy_codes(values: Any, into: Any) -> None:
    """Copy codes of `Wishes` [U, N] into [N, U]; NOTHING becomes -1."""
    for u in range(values.shape[0]):
        for s in range(values.shape[1]):
            into[s, u] = -1 if values[u, s] == NOTHING else values[u, s]


forecast_pass: Any = None
"""The first pass; each kernel has its own."""


def kernel(
    m: Any,
    bars: Any,
    span: Any,
    periods: float,
    slots: int,
    cash: float,
    rules_of: Any,
    costs_of: Any,
    tiers_of: Any,
    account: Any,
    expiry: Any,
    allowed: Any,
    part_begin: Any,
    part_at: Any,
    part: Any,
    figures: Any,
    money: Any,
    counts: Any,
    reasons: Any,
    equity: Any,
    codes: Any,
    rows: Any,
) -> int:
    """Run the sets and write their results into the arrays of `measure.Raw`; the returned number has no meaning."""
    symbols, closes = m.shape[1], m.shape[2]
    own, own_book, own_plans, own_curve = (
        new_wishes(symbols, closes, slots),
        new_book(symbols, rows[0]),
        new_plans(symbols),
        new_curve(closes),
    )
    wishes = Wishes(
        borrowed(own.target),
        borrowed(own.code),
        borrowed(own.mean),
        borrowed(own.until),
        borrowed(own.work),
        borrowed(own.flags),
        borrowed(own.sums),
    )
    curve = Curve(borrowed(own_curve.level), borrowed(own_curve.closes), borrowed(own_curve.change))
    at, trips_of = borrowed(own_book.at), borrowed(own_book.trips)
    money_of, count_of = borrowed(own_book.money), borrowed(own_book.count)
    m, bars, rules_of, plans = borrowed(m), borrowed(bars), borrowed(rules_of), borrowed(own_plans)
    costs_of, tiers_of = borrowed(costs_of), borrowed(tiers_of)
    exposure = np.zeros(1)
    exposure_of = borrowed(exposure)
    span = Span(span.lookback, span.first, span.bar_ms, span.trade_from, borrowed(span.total))
    for k in range(rules_of.shape[0]):
        rules, costs, tiers = rules_of[k], costs_of[account[k]], tiers_of[account[k]]
        known = inside = sure = 0
        confident = 0.0
        figures[k, _FAILED] = -1.0
        for s in range(symbols):
            found, within, counted, summed = forecast_pass(
                m, s, rules, span, costs[s].order_cost, borrowed(expiry[k]), borrowed(allowed[k]), wishes
            )
            if found < 0:
                figures[k, _FAILED] = s * closes + within
                break
            asking_pass(m, s, rules, span, wishes, borrowed(reasons[k]))
            known += found
            inside += within
            sure += counted
            confident += summed
        if figures[k, _FAILED] >= 0.0:
            continue
        look_ahead(wishes)
        if codes.shape[2]:
            copy_codes(wishes.code, codes[k])
        begin, end = part_begin[k], part_begin[k + 1]
        book = Book(at, trips_of, money_of, count_of, borrowed(rows[k]))
        reset(book, cash)
        exposure[0] = 0.0
        steps, busy = account_pass(
            bars,
            span,
            rules,
            costs,
            tiers,
            borrowed(part_at[begin:end]),
            borrowed(part[begin:end]),
            wishes,
            book,
            plans,
            curve,
            exposure_of,
            borrowed(reasons[k]),
            borrowed(codes[k]),
        )
        for s in range(symbols):
            if book.at[s].order != 0.0 and book.at[s].filled != 0.0:
                book.at[s].status = OPEN
                write_order(book, s, m[CLOCK, 0, closes - 1])
        write_figures(curve, steps, periods, figures[k])
        figures[k, _KNOWN], figures[k, _INSIDE] = known, inside
        figures[k, _SURE], figures[k, _CONFIDENCE] = sure, confident
        figures[k, _BUSY], figures[k, _EXPOSURE] = busy, exposure[0]
        copy(book.money, money[k])
        copy(book.count, counts[k])
        if equity.shape[0]:
            write_curve(curve, steps, equity[k])
    # The last use of the owners: until here their arrays are borrowed.
    return own.target.size + own_book.money.size + own_plans.size + own_curve.level.size + exposure.size


@cache
def kernel_of(position: Callable[[Any, Any], float] | None) -> Any:
    """Return the compiled loop for a position rule of the user; None: for the built-in ones, kept on disk."""
    passes = pass_of(builtin_rule if position is None else shared(position))
    # The name of a function is part of numba's key on disk: other sources, other code.
    name = f"kernel_{source_hash():016x}"
    own = FunctionType(kernel.__code__, {**globals(), "forecast_pass": passes}, name)
    own.__qualname__ = name
    found = outermost(own, cache=position is None)
    if position is None:
        forget_others(Path(found.stats.cache_path), name)
    return found


def forget_others(folder: Path, name: str) -> None:
    """Remove from numba's cache the loops of older sources, which nothing will ask for again."""
    for file in folder.glob("kernel.kernel_*.nb?"):
        if not file.name.startswith(f"kernel.{name}-"):
            with suppress(OSError):  # a folder that cannot be written, or another process was faster
                file.unlink()
