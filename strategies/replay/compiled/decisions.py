"""The second pass of a set: the account and the decisions at every close, in compiled form."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from scorenet.base.times import float_days

from ...decision import (
    KEEPS,
    AccountState,
    Forecast,
    Observation,
    cap_factors,
    capped,
    choose,
    exposure_of,
    fixed_exposure,
    has_caps,
    is_silent,
    watch_equity,
)
from .account import account_bar, account_value
from .book import Book, value_of
from .columns import (
    ANNUAL_VOLATILITY,
    BARS,
    CLOCK,
    CLOSE,
    CONFIDENCE,
    EXPECTED_RETURN,
    HAS_BAR,
    LOG_DENSITY,
    LOWER_TAIL,
    MARK_CLOSE,
    RETURN_STD,
    SCORE,
    SCORE_STD,
    SIGNAL,
    STAMP,
    STRENGTH,
    UPPER_TAIL,
)
from .forecasts import CODE, DRIFT, EXPECTED, EXPIRED, EXPOSURE, FEW, FLAGS, OUTSIDE, RANK, WARMING, Forecasts
from .jit import compiled, inlined
from .layout import LINE, NOTICES, QUEUE, SENT
from .orders import send_order, take_notices

__all__ = ["Span", "account_pass", "new_plans"]


class Span(NamedTuple):
    """Facts of a market that both passes read; `total` is the number of bars of each symbol [N]."""

    lookback: int
    first: int
    bar_ms: int
    trade_from: float
    total: Any


_PLAN = np.dtype(
    [
        ("symbol", np.int64),
        ("target", np.float64),
        ("code", np.int64),
        ("exposure", np.float64),
        ("silent", np.int64),
    ]
)


@compiled
def new_plans(symbols: int) -> Any:
    """Return working memory for the decisions of one close."""
    return np.zeros(symbols, dtype=_PLAN)


@compiled
def account_pass(
    m: Any,
    span: Span,
    rules: Any,
    costs: Any,
    tiers: Any,
    part_at: Any,
    part: Any,
    fc: Forecasts,
    book: Book,
    plans: Any,
    equity: Any,
    exposure: Any,
    reasons: Any,
    codes: Any,
) -> int:
    """Run one set and return the number of closes with a position, from the first counted close on.

    Filled are `equity` [U], `exposure` (sum of |net exposure|, [1]), `reasons` (number of decisions by code), and where
    it has room `codes` [N, U], -1 where nothing was decided.
    """
    state = AccountState(-math.inf, 0.0, False, False)
    caps, event, busy = has_caps(rules, len(costs)), 0, 0
    for u in range(m.shape[2]):
        if book.count[LINE] or book.count[SENT] or book.count[QUEUE]:
            account_bar(m, u, span, book, costs, tiers)
        value = account_value(book)
        equity[u] = value
        if book.count[NOTICES]:
            take_notices(m, u, book)
        if not state.floor < value <= state.peak:
            state = watch_equity(rules, state, value)
        if event < part_at.shape[0] and part_at[event] == u:
            for s in range(len(costs)):
                book.at[s].part = part[event, s]
            event += 1
        count = _decide(m, u, span, rules, costs, fc, book, plans, state, value)
        if caps:
            _cap(m, u, rules, costs, book, plans, count, value)
        for k in range(count):
            s, code = plans[k].symbol, plans[k].code
            if code not in KEEPS:
                code = send_order(m, u, book, costs[s], s, plans[k].target, code, value, plans[k].exposure)
            if u >= span.first:
                reasons[code] += 1
            if codes.shape[1] > 0:
                codes[s, u] = code
        if u >= span.first and book.count[LINE]:
            busy += _note_exposure(m, u, costs, book, value, exposure)
    return busy


@inlined
def _note_exposure(m: Any, u: int, costs: Any, book: Book, equity: float, exposure: Any) -> int:
    """Add |net exposure| at a close; return whether there is a position."""
    net, positions = 0.0, 0
    for s in range(len(costs)):
        if book.at[s].size != 0.0:
            net += value_of(costs[s], book.at[s].size, m[MARK_CLOSE, s, u])
            positions = 1
    if equity > 0.0:
        exposure[0] += abs(net / equity)
    return positions


@inlined
def _decide(
    m: Any,
    u: int,
    span: Span,
    rules: Any,
    costs: Any,
    fc: Forecasts,
    book: Book,
    plans: Any,
    state: AccountState,
    equity: float,
) -> int:
    """Write the plans of all symbols that are decided on at a close, and return their number."""
    count = 0
    for s in range(len(costs)):
        silent = False
        if not m[HAS_BAR, s, u]:
            ended = m[BARS, s, u] == span.total[s] and m[CLOCK, 0, u] >= m[STAMP, s, u] + span.bar_ms
            if rules.stale_after == 0.0 or ended or m[BARS, s, u] == 0:
                continue
            age = float_days(m[CLOCK, 0, u]) - float_days(m[STAMP, s, u])
            silent = is_silent(rules, age, span.bar_ms / 86_400_000)
            if not silent:
                continue
        c, flags = costs[s], 0 if silent else fc.tag[FLAGS, s, u]
        held = exposure_of(book.at[s].size, value_of(c, 1.0, m[CLOSE, s, u]), equity)
        known = not silent and not flags & FEW
        seen = Observation(
            m[SCORE, s, u],
            m[SIGNAL, s, u] if known else math.nan,
            m[CONFIDENCE, s, u],
            m[SCORE_STD, s, u],
            fc.at[RANK, s, u] if known else math.nan,
            m[ANNUAL_VOLATILITY, s, u],
            1.0,
            held,
            float(m[BARS, s, u] - book.at[s].last_fill),
            book.at[s].part,
            flags & (FEW | WARMING) != 0,
            silent,
            False,
            False,
            False,
            False,
            state.ruined,
            state.stopped,
            m[LOG_DENSITY, s, u],
            m[EXPECTED_RETURN, s, u],
            m[RETURN_STD, s, u],
            m[LOWER_TAIL, s, u],
            m[UPPER_TAIL, s, u],
            c.order_cost,
            m[STRENGTH, s, u],
            flags & EXPIRED != 0,
            flags & DRIFT != 0,
            flags & OUTSIDE != 0,
        )
        forecast = Forecast(fc.at[EXPOSURE, s, u], math.nan, fc.at[EXPECTED, s, u], int(fc.tag[CODE, s, u]))
        target, code = choose(rules, seen, forecast)
        plans[count].symbol, plans[count].target, plans[count].code = s, target, code
        plans[count].exposure, plans[count].silent = held, silent
        count += 1
    return count


@compiled
def _cap(m: Any, u: int, rules: Any, costs: Any, book: Book, plans: Any, count: int, equity: float) -> None:
    """Scale the targets of a close so that they keep all caps, as `SharedCapital.capped`."""
    gross = net = 0.0
    targets, places, scalable = np.empty(count), np.empty(count, dtype=np.int64), 0
    for k in range(count):
        stays = fixed_exposure(plans[k].target, plans[k].code, plans[k].exposure, plans[k].silent)
        if stays is None:
            targets[scalable], places[scalable] = plans[k].target, k
            scalable += 1
        else:
            gross += abs(stays)
            net += stays
    if count < len(costs):
        planned = 0
        for s in range(len(costs)):
            if planned < count and plans[planned].symbol == s:
                planned += 1
            elif m[BARS, s, u] > 0:
                stays = exposure_of(book.at[s].size, value_of(costs[s], 1.0, m[CLOSE, s, u]), equity)
                gross += abs(stays)
                net += stays
    factors = cap_factors(rules, targets[:scalable], gross, net)
    for k in range(scalable):
        if factors[k] != 1.0:
            at = places[k]
            symbol = plans[at].symbol
            plans[at].target, plans[at].code = capped(
                rules, plans[at].target, plans[at].code, plans[at].exposure, book.at[symbol].part, factors[k]
            )
