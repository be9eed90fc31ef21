"""The places of the numbers in the arrays of a compiled account."""

from __future__ import annotations

__all__ = [
    "CANCELED",
    "CASH",
    "COMPLETED",
    "DELISTED",
    "FEES",
    "FUNDING_PAID",
    "INSURANCE",
    "LINE",
    "LIQUIDATED",
    "LIQUIDATIONS",
    "LOST",
    "MARGIN",
    "NOTICES",
    "N_COUNTS",
    "N_MONEY",
    "OPEN",
    "ORDERS",
    "POSITIONS",
    "QUEUE",
    "REFUSALS",
    "REFUSED_MARGIN",
    "REJECTED",
    "ROW",
    "ROWS",
    "RUINED",
    "SENT",
    "SETTLED",
    "SETTLEMENTS",
    "SHORT_ON_SPOT",
    "SLIPPAGE",
    "START",
    "STATUS",
    "TOO_SMALL",
    "TRADED",
    "TRADES",
    "WAITED",
    "WINS",
    "WITHDRAWN",
    "WON",
]

CASH, FEES, FUNDING_PAID, SLIPPAGE, TRADED, INSURANCE, START, WON, LOST = range(9)
"""Places in `Book.money`."""
N_MONEY = 9

LINE, QUEUE, SENT, ORDERS, LIQUIDATIONS, SETTLEMENTS, WAITED, ROWS, NOTICES = range(9)
MARGIN, RUINED, DELISTED, TOO_SMALL, SHORT_ON_SPOT, POSITIONS, TRADES, WINS = range(9, 17)
"""Places in `Book.count`."""
N_COUNTS = 17

COMPLETED, REFUSED_MARGIN, REJECTED, CANCELED, OPEN, LIQUIDATED, SETTLED, WITHDRAWN = range(8)
"""How an order ended; CANCELED by the account, WITHDRAWN by the strategy."""

REFUSALS = {
    "margin": MARGIN,
    "ruined": RUINED,
    "delisted": DELISTED,
    "below_minimum": TOO_SMALL,
    "short_on_spot": SHORT_ON_SPOT,
}

STATUS = ("completed", "margin", "rejected", "canceled", "open", "completed", "completed", "canceled")
ROW = ("symbol", "decided", "time", "requested", "size", "value", "fee", "slippage", "status")
