"""Timeouts for the reconciliation of an order."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from ..exchange.rate_limit import BAN_SECONDS

__all__ = ["OrderTimeouts"]


@dataclass(frozen=True, kw_only=True)
class OrderTimeouts:
    """Timeouts in seconds until the state of an order is certain.

    The exchange rejects a request that arrives later than its receive window. So an order that is not found `window`
    plus `margin` after it was sent does not exist.

    window: the exchange's receive window. margin: added to `window`. pause: between two lookups. fill: longest wait for
    a final state. attempts: largest number of create requests for one order. ban: pause after the exchange refused this
    address. sleep and monotonic are replaced in tests.
    """

    window: float = 5.0
    margin: float = 2.0
    pause: float = 0.25
    fill: float = 10.0
    attempts: int = 3
    ban: float = BAN_SECONDS
    sleep: Callable[[float], None] = time.sleep
    monotonic: Callable[[], float] = time.monotonic
