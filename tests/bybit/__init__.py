"""A loopback Bybit v5: public REST on 127.0.0.1, for tests and for trying the CLI offline.

    python -m tests.bybit --port 8899 &
    scorenet fetch BTC/USDT:USDT --since 2024-01-01 --until 2024-02-01 --base-url http://127.0.0.1:8899

In a test, `with LoopbackBybit(clock=...) as exchange:` serves until the block ends; `exchange.url` is the
base URL, `exchange.log` what was asked, `exchange.inject(Reset(), times=2)` what goes wrong next. The module
`market` says what the answers must be.
"""

from tests.bybit.faults import Corrupt, DieMidBody, Fault, Hang, Mutate, Reset, Respond, RetCode
from tests.bybit.market import DAY, HOUR, MINUTE, Listing
from tests.bybit.server import LoopbackBybit, Request

__all__ = [
    "DAY",
    "HOUR",
    "MINUTE",
    "Corrupt",
    "DieMidBody",
    "Fault",
    "Hang",
    "Listing",
    "LoopbackBybit",
    "Mutate",
    "Request",
    "Reset",
    "Respond",
    "RetCode",
]
