"""Timeouts for the reconciliation of an order."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from ..exchange.rate_limit import BAN_SECONDS

__all__ = ["OrderTimeouts"]


@dataclass(frozen=True, kw_only=True)
class OrderTimeouts:
    """Timeouts in seconds until the state of an order is certain.

    The exchange rejects a request that arrives later than its receive window, and lookups may run behind by `lag`. So
    an order whose request may have arrived does not exist if no lookup shows it `window` + `margin` + `lag` after it
    was sent. An order that the exchange has confirmed exists, whatever the lookups show and however long they lag.

    window: the exchange's receive window. margin: added to `window`. lag: longest delay of a lookup behind a create.
    pause: between two lookups. fill: longest wait for a final state. attempts: largest number of create requests for
    one order. create: longest time of all these requests. ban: pause after the exchange refused this address. sleep
    and monotonic are replaced in tests.
    """

    window: float = 5.0
    margin: float = 2.0
    lag: float = 60.0
    pause: float = 0.25
    fill: float = 10.0
    attempts: int = 3
    create: float = 45.0
    ban: float = BAN_SECONDS
    sleep: Callable[[float], None] = time.sleep
    monotonic: Callable[[], float] = time.monotonic

    @property
    def certain(self) -> float:
        """Seconds after the last request at which an order that no lookup shows does not exist."""
        return self.window + self.margin + self.lag
