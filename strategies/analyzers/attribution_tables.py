"""Cut the amounts of a run by state, side, reason, symbol and month: numpy arrays in, a plain mapping out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..datas import to_milliseconds
from .metrics import month_of

__all__ = ["KINDS", "ROW", "attribute", "refused"]

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
    months = (
        month_of(to_milliseconds(rows["date"])).astype("datetime64[ms]").astype("datetime64[M]").astype(str)
    )
    names = np.array(symbols, dtype=object)[rows["symbol"]]
    sides = np.where(rows["side"] > 0, "long", "short")
    return {
        "gross": sums[0],
        "costs": dict(zip(KINDS[1:], sums[1:], strict=True)),
        "by_state": _cut(rows, states),
        "by_side": _cut(rows, sides),
        "by_reason": _cut(rows, reasons),
        "by_symbol": _cut(rows, names),
        "by_month": _cut(rows, months),
    }


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
    for name in dict.fromkeys(symbol):
        mine = np.flatnonzero(symbol == name)
        now, then = close[mine[:-1]], close[mine[1:]]
        growth[mine[:-1]] = 1.0 - now / then if name in inverse else then / now - 1.0
    lost = measured & (target == 0.0) & (np.nan_to_num(unfiltered) != 0.0) & np.isfinite(growth)
    pnl = unfiltered[lost] * equity[row[lost]] * growth[lost]
    reasons = np.asarray(decisions["reason"], dtype=object)[lost]
    return {
        name: {"bars": int((reasons == name).sum()), "pnl": float(pnl[reasons == name].sum())}
        for name in sorted(set(reasons))
    }


def _cut(rows: NDArray[Any], parts: NDArray[Any]) -> dict[str, dict[str, float]]:
    table = {}
    names, number = np.unique(parts.astype(str), return_inverse=True)
    sums = np.zeros((len(names), len(KINDS)))
    np.add.at(sums, (number, rows["kind"]), rows["amount"])
    for name, row in zip(names, sums, strict=True):
        part = {key: float(row[list(kinds)].sum()) for key, kinds in _PART.items()}
        part["net"] = part["gross"] - part["fees"] - part["slippage"] - part["funding"]
        table[str(name)] = part
    return table


def _join(
    rows: NDArray[Any], symbols: Sequence[str], decisions: Mapping[str, Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the reason and the state ("inside", "outside", "unknown") of each row."""
    reasons = np.full(len(rows), _UNRECORDED, dtype=object)
    states = np.full(len(rows), _UNKNOWN, dtype=object)
    if not decisions or not len(rows):
        return reasons, states
    by_symbol = np.asarray(decisions["symbol"], dtype=object)
    decided_at, as_of = to_milliseconds(rows["decided"]), to_milliseconds(rows["before"])
    own = rows["before"] == 0.0
    for number in np.unique(rows["symbol"]):
        mine = np.flatnonzero(rows["symbol"] == number)
        theirs = by_symbol == symbols[number]
        times = np.asarray(decisions["time"], dtype=np.int64)[theirs]
        reason = np.asarray(decisions["reason"], dtype=object)[theirs]
        inside = np.asarray(decisions["in_distribution"], dtype=object)[theirs]
        sent = np.searchsorted(times, decided_at[mine], side="right") - 1
        held = np.where(own[mine], sent, np.searchsorted(times, as_of[mine], side="left") - 1)
        reasons[mine] = [reason[at] if at >= 0 else _UNRECORDED for at in sent]
        states[mine] = [_STATE[inside[at]] if at >= 0 else _UNKNOWN for at in held]
    return reasons, states


_STATE: dict[bool | None, str] = {True: "inside", False: "outside", None: _UNKNOWN}
