"""The second pass of a set: the account and the decisions at every close, in compiled form."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from scorenet.base.times import float_days

from ..decision import (
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
from .compiled import compiled
from .forecasts import DRIFT, EXPIRED, FEW, OUTSIDE, WARMING, Forecasts
from .layout import LINE, NOTICES, QUEUE, SENT
from .orders import send_order, take_notices

__all__ = ["Plans", "Span", "account_pass", "new_plans"]


class Span(NamedTuple):
    """Facts of a market that both passes read; `total` is the number of bars of each symbol [N]."""

    lookback: int
    first: int
    bar_ms: int
    trade_from: float
    total: Any


class Plans(NamedTuple):
    """Working memory of one close: the symbols decided on, their targets, codes and exposures, and parts [N]."""

    symbol: Any
    target: Any
    code: Any
    exposure: Any
    silent: Any
    parts: Any
    prices: Any


@compiled
def new_plans(n: int) -> Plans:
    """Return working memory for `n` symbols, which have equal parts of the capital at first."""
    return Plans(
        np.zeros(n, dtype=np.int64),
        np.zeros(n),
        np.zeros(n, dtype=np.int64),
        np.zeros(n),
        np.zeros(n, dtype=np.bool_),
        np.full(n, float(n)),
        np.zeros(n),
    )


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
    plans: Plans,
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
    for u in range(m.close_ms.shape[0]):
        if book.count[LINE] or book.count[SENT] or book.count[QUEUE]:
            account_bar(m, u, span, book, costs, tiers, plans.prices)
        value = account_value(book)
        equity[u] = value
        if book.count[NOTICES]:
            take_notices(m, u, book)
        if not state.floor < value <= state.peak:
            state = watch_equity(rules, state, value)
        if event < part_at.shape[0] and part_at[event] == u:
            plans.parts[:] = part[event]
            event += 1
        count = _decide(m, u, span, rules, costs, fc, book, plans, state, value)
        if caps:
            _cap(m, u, rules, costs, book, plans, count, value)
        for k in range(count):
            s, code = plans.symbol[k], plans.code[k]
            if code not in KEEPS:
                code = send_order(m, u, book, costs[s], s, plans.target[k], code, value, plans.exposure[k])
            if u >= span.first:
                reasons[code] += 1
            if codes.shape[1] > 0:
                codes[s, u] = code
        if u >= span.first and book.count[LINE]:
            busy += _note_exposure(m, u, costs, book, value, exposure)
    return busy


@compiled
def _note_exposure(m: Any, u: int, costs: Any, book: Book, equity: float, exposure: Any) -> int:
    """Add |net exposure| at a close; return whether there is a position."""
    net, positions = 0.0, 0
    for s in range(len(costs)):
        if book.size[s] != 0.0:
            net += value_of(costs[s], book.size[s], m.mark_close[s, u])
            positions = 1
    if equity > 0.0:
        exposure[0] += abs(net / equity)
    return positions


@compiled
def _decide(
    m: Any,
    u: int,
    span: Span,
    rules: Any,
    costs: Any,
    fc: Forecasts,
    book: Book,
    plans: Plans,
    state: AccountState,
    equity: float,
) -> int:
    """Write the plans of all symbols that are decided on at a close, and return their number."""
    count = 0
    for s in range(len(costs)):
        silent = False
        if not m.has_bar[s, u]:
            ended = m.bars[s, u] == span.total[s] and m.close_ms[u] >= m.stamp[s, u] + span.bar_ms
            if rules.stale_after == 0.0 or ended or m.bars[s, u] == 0:
                continue
            age = float_days(m.close_ms[u]) - float_days(m.stamp[s, u])
            silent = is_silent(rules, age, span.bar_ms / 86_400_000)
            if not silent:
                continue
        c, flags = costs[s], 0 if silent else fc.flags[s, u]
        held = exposure_of(book.size[s], value_of(c, 1.0, m.close[s, u]), equity)
        known = not silent and not flags & FEW
        seen = Observation(
            m.score[s, u],
            m.signal[s, u] if known else math.nan,
            m.confidence[s, u],
            m.score_std[s, u],
            fc.rank[s, u] if known else math.nan,
            m.annual_volatility[s, u],
            1.0,
            held,
            float(m.bars[s, u] - book.last_fill[s]),
            plans.parts[s],
            flags & (FEW | WARMING) != 0,
            silent,
            False,
            False,
            False,
            False,
            state.ruined,
            state.stopped,
            m.log_density[s, u],
            m.expected_return[s, u],
            m.return_std[s, u],
            m.lower_tail[s, u],
            m.upper_tail[s, u],
            c.order_cost,
            m.strength[s, u],
            flags & EXPIRED != 0,
            flags & DRIFT != 0,
            flags & OUTSIDE != 0,
        )
        forecast = Forecast(fc.exposure[s, u], math.nan, fc.expected[s, u], int(fc.code[s, u]))
        target, code = choose(rules, seen, forecast)
        plans.symbol[count], plans.target[count], plans.code[count] = s, target, code
        plans.exposure[count], plans.silent[count] = held, silent
        count += 1
    return count


@compiled
def _cap(m: Any, u: int, rules: Any, costs: Any, book: Book, plans: Plans, count: int, equity: float) -> None:
    """Scale the targets of a close so that they keep all caps, as `SharedCapital.capped`."""
    gross = net = 0.0
    targets, places = [0.0 for _ in range(0)], [0 for _ in range(0)]
    for k in range(count):
        stays = fixed_exposure(plans.target[k], plans.code[k], plans.exposure[k], plans.silent[k])
        if stays is None:
            targets.append(plans.target[k])
            places.append(k)
        else:
            gross += abs(stays)
            net += stays
    if count < len(costs):
        planned = 0
        for s in range(len(costs)):
            if planned < count and plans.symbol[planned] == s:
                planned += 1
            elif m.bars[s, u] > 0:
                stays = exposure_of(book.size[s], value_of(costs[s], 1.0, m.close[s, u]), equity)
                gross += abs(stays)
                net += stays
    factors = cap_factors(rules, targets, gross, net)
    for k in range(len(factors)):
        if factors[k] != 1.0:
            at = places[k]
            symbol = plans.symbol[at]
            plans.target[at], plans.code[at] = capped(
                rules, plans.target[at], plans.code[at], plans.exposure[at], plans.parts[symbol], factors[k]
            )
