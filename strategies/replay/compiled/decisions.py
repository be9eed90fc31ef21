"""The second pass of a set: the account and the decisions at every close, in compiled form."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from ...decision import (
    KEEPS,
    WARMUP,
    AccountState,
    capped,
    exposure_of,
    fixed_exposure,
    has_caps,
    scale_to_caps,
    settled,
    watch_equity,
)
from .account import account_bar
from .book import Book, value_of
from .figures import Curve
from .jit import allocating, compiled, inlined
from .layout import CASH, NOTICES, POSITIONS, QUEUE, SENT
from .orders import send_order, take_notices
from .wishes import NOTHING, Wishes

__all__ = ["Span", "account_pass", "new_plans"]


class Span(NamedTuple):
    """Facts of a market that both passes read; `total` is the number of bars of each symbol [N]."""

    lookback: int
    first: int
    bar_ms: int
    trade_from: float
    total: Any


class _Seen(NamedTuple):
    """The fields of `Observation` that `decision.settled` reads."""

    exposure: float
    symbols: float
    bars_since_fill: float
    return_std: float
    cost: float
    warming: bool
    silent: bool
    ruined: bool
    stopped: bool
    late: bool
    kill_switch: bool
    flatten: bool
    doubtful: bool


_PLAN = np.dtype(
    [
        ("symbol", np.int64),
        ("target", np.float64),
        ("code", np.int64),
        ("exposure", np.float64),
        ("silent", np.int64),
        ("scalable", np.int64),
        ("wanted", np.float64),
        ("factor", np.float64),
    ]
)


@allocating
def new_plans(symbols: int) -> Any:
    """Return working memory for the decisions of one close."""
    return np.zeros(symbols, dtype=_PLAN)


@compiled
def account_pass(
    bars: Any,
    span: Span,
    rules: Any,
    costs: Any,
    tiers: Any,
    part_at: Any,
    part: Any,
    wishes: Wishes,
    book: Book,
    plans: Any,
    curve: Curve,
    exposure: Any,
    reasons: Any,
    codes: Any,
) -> tuple[int, int]:
    """Run one set; return the number of steps of its equity curve, and of closes with a position from `first` on.

    Filled are `curve`, and `exposure` (sum of |net exposure|, [1]). `reasons` (number of decisions by code) and `codes`
    [N, U], where it has room, hold what was asked for; they are changed where the account decided otherwise.

    While there is no position, no order and no target that may be traded, nothing can change: such closes are one step.
    """
    state = AccountState(-math.inf, 0.0, False, False)
    caps, closes = has_caps(rules, len(costs)), len(bars)
    steps = event = busy = 0
    u: Any = np.int64(0)  # for a literal 0, all that `u` is given to would be compiled a second time
    value = book.money[CASH]
    while u < closes:
        moves = _can_move(book)
        if not moves and not state.ruined and not state.stopped and wishes.until[u] > u:
            idle = wishes.until[u] - max(u, span.first)
            if idle > 0:
                curve.level[steps], curve.closes[steps] = value, idle
                steps += 1
            u = wishes.until[u]
            continue
        if moves:
            value = account_bar(bars, u, span, book, costs, tiers)
            if book.count[NOTICES]:
                take_notices(bars, u, book)
        if not state.floor < value <= state.peak:
            state = watch_equity(rules, state, value)
        while event < part_at.shape[0] and part_at[event] <= u:
            for s in range(len(costs)):
                book.at[s].part = part[event, s]
            event += 1
        count = _decide(bars, u, rules, costs, wishes, book, plans, state, value)
        if caps:
            _cap(bars, u, rules, costs, book, plans, count, value)
        for k in range(count):
            s, code = plans[k].symbol, plans[k].code
            if code not in KEEPS:
                code = send_order(bars, u, book, costs[s], s, plans[k].target, code, value, plans[k].exposure)
            if code != wishes.code[u, s]:
                if u >= span.first:
                    reasons[wishes.code[u, s]] -= 1
                    reasons[code] += 1
                if codes.shape[1] > 0:
                    codes[s, u] = code
        if u >= span.first:
            curve.level[steps], curve.closes[steps] = value, 1
            steps += 1
            if book.count[POSITIONS]:
                exposure[0] += abs(_net_exposure(bars, u, costs, book, value))
                busy += 1
        u += 1
    return steps, busy


@inlined
def _can_move(book: Book) -> bool:
    """Return whether a bar can change the account: there is a position, an order, or an order just canceled."""
    count = book.count
    return count[POSITIONS] + count[SENT] + count[QUEUE] + count[NOTICES] > 0  # type: ignore[no-any-return]


@inlined
def _net_exposure(bars: Any, u: int, costs: Any, book: Book, equity: float) -> float:
    """Return the sum of all positions at a close, as a fraction of equity; 0 without equity."""
    net = 0.0
    for s in range(len(costs)):
        if book.at[s].size != 0.0:
            net += value_of(costs[s], book.at[s].size, bars[u, s].mark_close)
    return net / equity if equity > 0.0 else 0.0


@inlined
def _decide(
    bars: Any,
    u: int,
    rules: Any,
    costs: Any,
    wishes: Wishes,
    book: Book,
    plans: Any,
    state: AccountState,
    equity: float,
) -> int:
    """Write the plans of all symbols that are decided on at a close, and return their number."""
    count = 0
    for s in range(len(costs)):
        wish = int(wishes.code[u, s])
        if wish == NOTHING:
            continue
        c, silent = costs[s], not bars[u, s].has_bar
        held = exposure_of(book.at[s].size, value_of(c, 1.0, bars[u, s].close), equity)
        seen: Any = _Seen(
            held,
            book.at[s].part,
            float(bars[u, s].bars - book.at[s].last_fill),
            bars[u, s].return_std,
            c.order_cost,
            wish == WARMUP,
            silent,
            state.ruined,
            state.stopped,
            False,
            False,
            False,
            False,
        )
        target, code = settled(rules, seen, wishes.target[u, s], wish, wishes.mean[u, s])
        plans[count].symbol, plans[count].target, plans[count].code = s, target, code
        plans[count].exposure, plans[count].silent = held, silent
        count += 1
    return count


@compiled
def _cap(
    bars: Any, u: int, rules: Any, costs: Any, book: Book, plans: Any, count: int, equity: float
) -> None:
    """Scale the targets of a close so that they keep all caps, as `SharedCapital.capped`."""
    gross = net = 0.0
    scalable = 0
    for k in range(count):
        stays = fixed_exposure(plans[k].target, plans[k].code, plans[k].exposure, plans[k].silent)
        if stays is None:
            plans[scalable].scalable, plans[scalable].wanted = k, plans[k].target
            plans[scalable].factor = 1.0
            scalable += 1
        else:
            gross += abs(stays)
            net += stays
    if count < len(costs):
        planned = 0
        for s in range(len(costs)):
            if planned < count and plans[planned].symbol == s:
                planned += 1
            elif bars[u, s].bars > 0:
                stays = exposure_of(book.at[s].size, value_of(costs[s], 1.0, bars[u, s].close), equity)
                gross += abs(stays)
                net += stays
    scale_to_caps(rules, plans.factor[:scalable], plans.wanted[:scalable], gross, net)
    for k in range(scalable):
        if plans[k].factor != 1.0:
            at = plans[k].scalable
            symbol = plans[at].symbol
            plans[at].target, plans[at].code = capped(
                rules,
                plans[at].target,
                plans[at].code,
                plans[at].exposure,
                book.at[symbol].part,
                plans[k].factor,
            )
