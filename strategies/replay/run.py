"""Replay many sets of rules and costs: pack them into arrays, run the compiled loop on several threads, measure."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

import numpy as np

from ..account.costs import Costs
from ..analyzers.metrics import returns_per_year
from ..datas import periods_per_year
from ..decision import REASONS, Rules
from .columns import BARS, MISSING, bars_of
from .compiled.decisions import Span
from .compiled.kernel import OUT, kernel_of
from .compiled.layout import N_COUNTS, N_MONEY, ROW, ROWS
from .coverage import position_of
from .market import ReplayMarket
from .measure import Raw, result_of
from .parts import PartsOfMarket
from .result import ReplayResult
from .sets import Set, Sets, check, pack

__all__ = ["replay", "replay_chunks"]

_MOST_AT_ONCE = 256  # sets that one call of the compiled loop works on
_FIRST_ROWS = 1024


def replay(
    market: ReplayMarket,
    rules: Sequence[Rules],
    costs: Costs | Sequence[Costs | Sequence[Costs]],
    *,
    cash: float = 10_000.0,
    threads: int | None = None,
    curves: bool = False,
    trace: bool = False,
) -> ReplayResult:
    """Return the figures of S sets, as Cerebro with `ScoreStrategy` and `PerpetualBroker` would give them.

    Args:
        market: what `prepare` returned.
        rules: the rules of each set [S].
        costs: costs of all sets, or one entry a set: costs of all symbols, or one entry a symbol.
        cash: initial cash, settlement coin.
        threads: number of threads; None: one a core.
        curves: keep the equity of each set at each bar [S, B].
        trace: keep the reason codes and the orders of each set.

    Raises:
        ValueError: `not_compiled` gives a reason against a set, or a position rule gave no finite number.
    """
    every = [costs] * len(rules) if isinstance(costs, Costs) else list(costs)
    if len(every) != len(rules):
        raise ValueError(f"costs: expected one entry for each of {len(rules)} sets, found {len(every)}")
    return next(
        replay_chunks(
            market,
            zip(rules, every, strict=True),
            cash=cash,
            threads=threads,
            curves=curves,
            trace=trace,
            chunk=max(len(rules), 1),
        )
    )


def replay_chunks(
    market: ReplayMarket,
    sets: Iterable[Set],
    *,
    cash: float = 10_000.0,
    threads: int | None = None,
    curves: bool = False,
    trace: bool = False,
    chunk: int = 4096,
) -> Iterator[ReplayResult]:
    """Yield the results of `chunk` sets after the other: memory does not grow with the number of sets.

    Args:
        sets: pairs (rules, costs); costs are those of all symbols, or one entry a symbol.
        chunk: number of sets of a result; the other arguments are those of `replay`.

    Raises:
        ValueError: as `replay`.
    """
    values = _read_only(market.values)
    bars = bars_of(values)
    parts, waiting = PartsOfMarket(market), iter(sets)
    workers = threads or os.cpu_count() or 1
    before = 0
    with ThreadPoolExecutor(workers) as pool:
        while found := list(islice(waiting, chunk)):
            check(market, found, before)
            raw = _empty(market, len(found), curves, trace)
            for position in dict.fromkeys(position_of(rules) for rules, _ in found):
                rows = [k for k, (rules, _) in enumerate(found) if position_of(rules) is position]
                size = max(min(_MOST_AT_ONCE, len(rows) // (4 * workers)), 1)
                pieces = [rows[at : at + size] for at in range(0, len(rows), size)]
                jobs = [
                    pool.submit(
                        _play,
                        market,
                        values,
                        bars,
                        pack(market, parts, [found[k] for k in piece]),
                        cash,
                        raw,
                        piece,
                    )
                    for piece in pieces
                ]
                for job in jobs:
                    job.result()
            yield result_of(market, raw, before)
            before += len(found)


def _read_only(column: Any) -> Any:
    # Arrays of a shared store cannot be written: of one kind for compiled code, wherever they come from.
    view = column.view()
    view.flags.writeable = False
    return view


def _empty(market: ReplayMarket, sets: int, curves: bool, trace: bool, room: int = 0) -> Raw:
    symbols, closes = market.values.shape[1:]
    return Raw(
        figures=np.zeros((sets, len(OUT))),
        money=np.zeros((sets, N_MONEY)),
        counts=np.zeros((sets, N_COUNTS), dtype=np.int64),
        reasons=np.zeros((sets, len(REASONS)), dtype=np.int64),
        equity=np.zeros((sets, closes - market.first)) if curves else np.zeros((0, 0)),
        codes=np.full((sets, symbols, closes if trace else 0), -1, dtype=np.int8),
        rows=np.zeros((sets, room, len(ROW))),
        orders=[None] * sets if trace else None,
    )


def _play(
    market: ReplayMarket, values: Any, bars: Any, sets: Sets, cash: float, raw: Raw, piece: Sequence[int]
) -> None:
    """Replay some sets and write their results into the rows `piece` of `raw`."""
    facts = market.facts
    span = Span(facts.lookback, market.first, facts.bar_ms, facts.trade_from, values[BARS, :, -1].copy())
    clock = facts.clock
    periods = returns_per_year(market.times, clock) or periods_per_year(facts.bar_ms, clock)
    slots = int(values[MISSING].sum(axis=1).max()) + values.shape[2] + sets.longest_window + 1
    kernel, curves, trace = kernel_of(sets.position), len(raw.equity) > 0, raw.orders is not None
    room = _FIRST_ROWS if trace else 0
    while True:
        own = _empty(market, len(piece), curves, trace, room)
        kernel(values, bars, span, float(periods), slots, float(cash), *sets.arrays, *own[:-1])
        most = int(own.counts[:, ROWS].max())
        if not trace or most <= room:
            break
        room = most
    for name in ("figures", "money", "counts", "reasons", "equity", "codes"):
        if getattr(own, name).size:
            getattr(raw, name)[list(piece)] = getattr(own, name)
    for number, rows, count in zip(piece, own.rows, own.counts[:, ROWS], strict=True):
        if trace:
            raw.orders[number] = rows[:count].copy()
