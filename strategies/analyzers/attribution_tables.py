"""Cut the amounts of a run by state, side, reason, symbol and month: numpy arrays in, a plain mapping out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..datas import HALF_SECOND, to_milliseconds
from .metrics import month_of

__all__ = ["KINDS", "ROW", "attribute", "coded", "grouped", "net_by_bar", "refused"]

KINDS = ("gross", "taker_fees", "maker_fees", "liquidation_fees", "slippage", "funding")
"""What an amount is, by its number in a row; all but `gross` are costs, positive = paid."""

ROW = np.dtype(
    [
        ("date", "<f8"),  # close of the bar, Backtrader date
        (
            "before",
            "<f8",
        ),  # the state is that of the last decision before this date; 0: of the decision itself
        ("decided", "<f8"),  # date of the decision that the amount belongs to
        ("amount", "<f8"),
        ("symbol", "<u4"),
        ("side", "i1"),
        ("kind", "u1"),
    ]
)

_PART = {"gross": (0,), "fees": (1, 2, 3), "slippage": (4,), "funding": (5,)}
_UNRECORDED, _UNKNOWN = "unrecorded", "unknown"


def attribute(rows: NDArray[Any], symbols: Sequence[str], decisions: Mapping[str, Any]) -> dict[str, Any]:
    """Return `gross`, `costs` and the cuts of `Attribution` from rows of `ROW` and the columns of the decisions."""
    amounts = rows["amount"]
    sums = [float(amounts[rows["kind"] == number].sum()) for number in range(len(KINDS))]
    reasons, states = _join(rows, symbols, decisions)
    months = month_of(to_milliseconds(rows["date"])).astype("datetime64[ms]").astype("datetime64[M]")
    month, number = np.unique(months, return_inverse=True)
    return {
        "gross": sums[0],
        "costs": dict(zip(KINDS[1:], sums[1:], strict=True)),
        "by_state": _cut(rows, *states),
        "by_side": _cut(rows, (rows["side"] > 0).astype(np.int64), ("short", "long")),
        "by_reason": _cut(rows, *reasons),
        "by_symbol": _cut(rows, rows["symbol"].astype(np.int64), symbols),
        "by_month": _cut(rows, number, month.astype(str)),
    }


def net_by_bar(rows: NDArray[Any], dates: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Return the profit after costs [N, count] of each symbol in the bars that closed at `dates` [N]."""
    net = np.zeros((len(dates), count))
    at = np.searchsorted(dates, rows["date"] - HALF_SECOND)
    inside = at < len(dates)
    signed = np.where(rows["kind"] == 0, rows["amount"], -rows["amount"])
    np.add.at(net, (at[inside], rows["symbol"][inside]), signed[inside])
    return net


def refused(
    decisions: Mapping[str, Any],
    times: NDArray[np.int64],
    equity: NDArray[np.float64],
    inverse: Collection[str] = (),
) -> dict[str, dict[str, float]]:
    """Return by reason the bars whose target a decision set to 0, and what the position rule's target had earned.

    The profit is in quote currency, up to the symbol's next bar, without costs. `decisions` are the columns of the
    decision record, `times` [N] (UTC ms) and `equity` [N] those of the run, `inverse` the symbols whose profit is in
    their base coin. Decisions at other times and the last of each symbol do not count.
    """
    time = np.asarray(decisions["time"], dtype=np.int64)
    symbol = np.asarray(decisions["symbol"], dtype=object)
    close, target, unfiltered = (
        np.asarray(decisions[name], dtype=np.float64) for name in ("close", "target", "unfiltered")
    )
    row = np.minimum(np.searchsorted(times, time), max(len(times) - 1, 0))
    measured = (times[row] == time) if len(times) else np.zeros(len(time), dtype=bool)
    growth = np.full(len(time), np.nan)
    number, names = coded(symbol)
    for name, mine in zip(names, grouped(number, len(names)), strict=True):
        now, then = close[mine[:-1]], close[mine[1:]]
        growth[mine[:-1]] = 1.0 - now / then if name in inverse else then / now - 1.0
    lost = measured & (target == 0.0) & (np.nan_to_num(unfiltered) != 0.0) & np.isfinite(growth)
    pnl = unfiltered[lost] * equity[row[lost]] * growth[lost]
    reasons = np.asarray(decisions["reason"], dtype=object)[lost]
    return {
        name: {"bars": int((reasons == name).sum()), "pnl": float(pnl[reasons == name].sum())}
        for name in sorted(set(reasons))
    }


def coded(values: NDArray[Any]) -> tuple[NDArray[np.int64], list[Any]]:
    """Return the number [N] of each value and the values by number, in the order of their first appearance."""
    names = list(dict.fromkeys(values))
    numbers = {name: number for number, name in enumerate(names)}
    return np.fromiter(map(numbers.__getitem__, values), np.int64, len(values)), names


def grouped(numbers: NDArray[np.int64], count: int) -> list[NDArray[np.int64]]:
    """Return the rows of each number from 0 to `count` - 1, ascending; in one pass, however many numbers there are."""
    order = np.argsort(numbers, kind="stable")
    return np.split(order, np.searchsorted(numbers[order], np.arange(1, count)))[:count]


def _cut(
    rows: NDArray[Any], number: NDArray[np.int64], names: Sequence[str] | NDArray[Any]
) -> dict[str, dict[str, float]]:
    """Return the sums of the rows of each part, in the order of their names; `number` [N] is the part of each row."""
    sums = np.zeros((len(names), len(KINDS)))
    np.add.at(sums, (number, rows["kind"]), rows["amount"])
    table = {}
    for at in sorted(np.unique(number), key=lambda at: str(names[at])):
        part = {key: float(sums[at, list(kinds)].sum()) for key, kinds in _PART.items()}
        part["net"] = part["gross"] - part["fees"] - part["slippage"] - part["funding"]
        table[str(names[at])] = part
    return table


_Parts = tuple[NDArray[np.int64], list[str]]


def _join(rows: NDArray[Any], symbols: Sequence[str], decisions: Mapping[str, Any]) -> tuple[_Parts, _Parts]:
    """Return the reason and the state (inside, outside, unknown) of each row: numbers [N] and the names behind them."""
    reasons, states = np.zeros(len(rows), dtype=np.int64), np.zeros(len(rows), dtype=np.int64)
    if not decisions or not len(rows):
        return (reasons, [_UNRECORDED]), (states, [_UNKNOWN])
    theirs, known = coded(np.asarray(decisions["symbol"], dtype=object))
    decided = dict(zip(known, grouped(theirs, len(known)), strict=True))
    time = np.asarray(decisions["time"], dtype=np.int64)
    reason, words = coded(np.asarray(decisions["reason"], dtype=object))
    inside = np.fromiter(map(_STATE.__getitem__, decisions["in_distribution"]), np.int64, len(time))
    decided_at, as_of = to_milliseconds(rows["decided"]), to_milliseconds(rows["before"])
    own = rows["before"] == 0.0
    for name, mine in zip(symbols, grouped(rows["symbol"].astype(np.int64), len(symbols)), strict=True):
        at = decided.get(name)
        if at is None or not len(mine):
            continue
        sent = np.searchsorted(time[at], decided_at[mine], side="right") - 1
        held = np.where(own[mine], sent, np.searchsorted(time[at], as_of[mine], side="left") - 1)
        reasons[mine] = np.where(sent >= 0, reason[at[sent]] + 1, 0)
        states[mine] = np.where(held >= 0, inside[at[held]], 0)
    return (reasons, [_UNRECORDED, *words]), (states, [_UNKNOWN, "inside", "outside"])


_STATE: dict[bool | None, int] = {None: 0, True: 1, False: 2}
