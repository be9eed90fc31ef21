"""A loopback Bybit v5: REST and public websocket on 127.0.0.1, for tests and for trying the CLI offline.

    python -m tests.bybit --port 8899 &
    scorenet fetch BTC/USDT:USDT --since 2024-01-01 --until 2024-02-01 --base-url http://127.0.0.1:8899

In a test, `with LoopbackBybit(clock=...) as exchange:` serves until the block ends; `exchange.url` is the
base URL, `exchange.log` has the requests, `exchange.inject(Reset(), times=2)` plans faults, and
`exchange.clock += MINUTE` closes candles, on the websocket too. The module `market` computes the expected data.
"""

from tests.bybit.faults import (
    Afterwards,
    Corrupt,
    DieMidBody,
    Drop,
    Fault,
    Frames,
    Hang,
    Late,
    Mutate,
    Reset,
    Respond,
    RetCode,
    Silence,
    Swallow,
    Trickle,
)
from tests.bybit.market import DAY, HOUR, MINUTE, Listing
from tests.bybit.private import Account, Deposit
from tests.bybit.server import LoopbackBybit, Request

__all__ = [
    "DAY",
    "HOUR",
    "MINUTE",
    "Account",
    "Afterwards",
    "Corrupt",
    "Deposit",
    "DieMidBody",
    "Drop",
    "Fault",
    "Frames",
    "Hang",
    "Late",
    "Listing",
    "LoopbackBybit",
    "Mutate",
    "Request",
    "Reset",
    "Respond",
    "RetCode",
    "Silence",
    "Swallow",
    "Trickle",
]
