"""The account of one set in compiled form: positions, orders, money and counts, and the formulas of one contract."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .jit import allocating, compiled, inlined
from .layout import CASH, N_COUNTS, N_MONEY, ORDERS, ROWS, START
from .trips import TRIP

__all__ = [
    "Book",
    "fee_of",
    "initial_margin",
    "maintenance_margin",
    "new_book",
    "notional_of",
    "reset",
    "value_of",
    "worth_of",
    "write_order",
]


_LONG_AGO = -1_000_000_000  # number of a bar
_SYMBOL = np.dtype(
    [
        *((name, np.float64) for name in ("size", "mark", "last", "worst", "traded", "part")),
        *((name, np.float64) for name in ("order", "asked", "filled", "created", "paid", "value", "slipped")),
        *(
            (name, np.int64)
            for name in ("decided", "last_fill", "notice", "waited", "held", "over", "status")
        ),
        *((name, np.int64) for name in ("line", "queue", "sent")),
    ]
)


class Book(NamedTuple):
    """The arrays of an account, amounts in the settlement coin.

    Attributes:
        at: a record for each symbol [N]: its position, its worths (`mark`, `last` before it, `worst` of the bar), the
            capital over its part, and its order with what has been filled of it. `line` lists the symbols that have a
            holding, `queue` those whose order waits for a fill, `sent` those whose order the account has not checked
            yet; `count` has the lengths of these lists.
        trips: the open trade of each symbol [N].
        money, count: see `layout`.
        rows: ended orders [rows, columns of `layout.ROW`].
    """

    at: Any
    trips: Any
    money: Any
    count: Any
    rows: Any


@allocating
def new_book(symbols: int, rows: Any) -> Book:
    """Return an account for `symbols` markets; `rows` receives the ended orders, as far as it has room."""
    at, trips = np.zeros(symbols, dtype=_SYMBOL), np.zeros(symbols, dtype=TRIP)
    return Book(at, trips, np.zeros(N_MONEY), np.zeros(N_COUNTS, dtype=np.int64), rows)


@allocating
def reset(book: Book, cash: float) -> None:
    """Set an account to its start: `cash`, no position, equal parts of the capital."""
    blank, no_trade = np.zeros(1, dtype=_SYMBOL), np.zeros(1, dtype=TRIP)
    for s in range(book.at.shape[0]):
        book.at[s], book.trips[s] = blank[0], no_trade[0]
        book.at[s].last_fill = _LONG_AGO
        book.at[s].part = float(book.at.shape[0])
    for k in range(N_MONEY):
        book.money[k] = 0.0
    for k in range(N_COUNTS):
        book.count[k] = 0
    book.money[CASH] = book.money[START] = cash


@inlined
def worth_of(c: Any, price: float) -> float:
    """Return the worth of one contract at a price, see `contracts.worth_of_price`."""
    return -c.mult / price if c.inverse else c.mult * price


@inlined
def value_of(c: Any, size: float, price: float) -> float:
    """Return the signed value of `size` contracts, see `contracts.contract_value`."""
    return size * c.mult / price if c.inverse else size * c.mult * price


@compiled
def notional_of(c: Any, size: float, price: float) -> float:
    """Return the value in quote currency that minimum order values are compared with."""
    return abs(size) * c.mult * (1.0 if c.inverse else price)


@compiled
def fee_of(c: Any, size: float, price: float) -> float:
    """Return the taker fee of a fill."""
    return abs(size) * abs(worth_of(c, price)) * c.taker


@inlined
def _tier(tiers: Any, count: int, value: float) -> int:
    for row in range(count):
        if value <= tiers[row, 0]:
            return row
    return count - 1


@compiled
def initial_margin(c: Any, tiers: Any, value: float) -> float:
    """Return the initial margin of a position value of either sign."""
    value, count = abs(value), int(c.tiers)
    if count == 0:
        return value / c.leverage
    return value / min(c.leverage, tiers[_tier(tiers, count, value), 2])


@inlined
def maintenance_margin(c: Any, tiers: Any, value: float) -> float:
    """Return the maintenance margin of a position value of either sign."""
    value, count = abs(value), int(c.tiers)
    if count == 0:
        return value * c.maintenance
    row = _tier(tiers, count, value)
    return value * tiers[row, 1] - tiers[row, 3]


@compiled
def write_order(book: Book, s: int, now: float) -> None:
    """Count the order of symbol `s`, which has ended with `status`, and record it if there is room for a record."""
    if book.at[s].filled != 0.0:
        book.count[ORDERS] += 1
    row, status = book.count[ROWS], book.at[s].status
    if row < book.rows.shape[0]:
        book.rows[row, 0], book.rows[row, 1], book.rows[row, 2] = s, book.at[s].decided, now
        book.rows[row, 3], book.rows[row, 4] = book.at[s].asked, book.at[s].filled
        book.rows[row, 5], book.rows[row, 6] = book.at[s].value, book.at[s].paid
        book.rows[row, 7], book.rows[row, 8] = book.at[s].slipped, status
    book.count[ROWS] = row + 1
    book.at[s].order = 0.0
