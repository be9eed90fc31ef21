"""Compare the journal of a soak with what the loopback exchange did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from runs.live.journal import open_journal
from tests.bybit import MINUTE, LoopbackBybit
from tests.bybit.market import bars

__all__ = ["Findings", "verify"]

_ROW = ("close_time", "open", "high", "low", "close", "volume")


@dataclass(frozen=True)
class Findings:
    """What a soak showed; `wrong` names each broken promise.

    Attributes:
        bars: bars of all symbols in the journal.
        orders: orders that the exchange took.
        states: number of changes of the feeds to each state.
        positions: the exchange's positions at the end, base units.
        wrong: broken promises, in words; empty if all is right.
    """

    bars: int
    orders: int
    states: Mapping[str, int]
    positions: Mapping[str, Decimal]
    wrong: Sequence[str]


def verify(out: Path, public: LoopbackBybit, private: LoopbackBybit, symbols: Mapping[str, str]) -> Findings:
    """Compare bars, orders and positions; `symbols` maps full names to the exchange's ids."""
    with open_journal(out) as journal:
        records = list(journal.records())
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        by_kind.setdefault(record["kind"], []).append(record)
    wrong = [f"trading halted: {record['reason']}" for record in by_kind.get("halt", [])]
    count = 0
    for symbol, name in symbols.items():
        rows = [record["bars"][symbol] for record in by_kind.get("bar", []) if symbol in record["bars"]]
        count += len(rows)
        revised = {
            r["start"] for r in by_kind.get("notice", []) if r["what"] == "revised" and r["symbol"] == symbol
        }
        wrong += _wrong_bars(symbol, rows, name, revised)
    wrong += _wrong_orders(by_kind, private, symbols)
    states = Counter(record["state"] for record in by_kind.get("status", []))
    held = {symbol: private.account.size(name) for symbol, name in symbols.items()}
    return Findings(count, len(private.account.orders), states, held, wrong)


def _wrong_bars(
    symbol: str, rows: Sequence[Sequence[float]], name: str, revised: Collection[int]
) -> list[str]:
    if not rows:
        return [f"{symbol}: no bar"]
    seen = np.array([row[: len(_ROW)] for row in rows], dtype=np.float64)
    steps = np.diff(seen[:, 0])
    wrong = []
    if np.any(steps <= 0):
        wrong.append(f"{symbol}: {int(np.sum(steps <= 0))} bars twice or out of order")
    if np.any(steps > MINUTE):
        wrong.append(f"{symbol}: {int(np.sum(steps[steps > MINUTE] / MINUTE - 1))} bars missing")
    starts = (seen[:, 0] - MINUTE).astype(np.int64)
    right = bars(name, starts, MINUTE, int(starts[-1]) + MINUTE)
    # The exchange may confirm a bar twice, with different values: then the run must have said which one was wrong.
    differing = starts[np.any(seen[:, 1:] != right[:, 1:], axis=1)]
    unsaid = [int(start) for start in differing if start not in revised]
    if unsaid:
        wrong.append(
            f"{symbol}: {len(unsaid)} bars differ from the exchange's, and nothing said so: {unsaid[:3]}"
        )
    return wrong


def _wrong_orders(
    by_kind: Mapping[str, Sequence[Mapping[str, Any]]], private: LoopbackBybit, symbols: Mapping[str, str]
) -> list[str]:
    account = private.account
    sent = Counter(order["orderLinkId"] for order in account.orders)
    intents = Counter(record["link_id"] for record in by_kind.get("intent", []))
    wrong = [f"order {link_id} taken {times} times" for link_id, times in sent.items() if times > 1]
    wrong += [f"intent {link_id} recorded {times} times" for link_id, times in intents.items() if times > 1]
    wrong += [f"order {link_id} is not in the journal" for link_id in sent.keys() - intents.keys()]
    outcomes = {record["link_id"]: record for record in by_kind.get("outcome", [])}
    filled: dict[str, Decimal] = dict.fromkeys(symbols, Decimal(0))
    for record in by_kind.get("outcome", []):
        filled[record["symbol"]] += Decimal(record["filled"])
    for link_id in intents.keys() - outcomes.keys():
        wrong.append(f"order {link_id} has no outcome")
    wrong += [
        f"order {link_id} ended as unknown"
        for link_id, record in outcomes.items()
        if record["status"] == "unknown"
    ]
    for symbol, name in symbols.items():
        if filled[symbol] != account.size(name):
            wrong.append(f"{symbol}: the journal holds {filled[symbol]}, the exchange {account.size(name)}")
    return wrong
