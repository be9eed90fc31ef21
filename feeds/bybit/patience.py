"""How long to wait until it is certain what became of an order."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from ..exchange.rate_limit import BAN_SECONDS

__all__ = ["Patience"]


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long to wait, in seconds, for an order to be certain; `window` is the exchange's receive window.

    `ban` is how long nothing is sent after the exchange refused this address. A request that is older than the window
    when it arrives is refused, so an order that is not found `window` and `margin` after it was sent does not exist.
    """

    window: float = 5.0
    margin: float = 2.0
    pause: float = 0.25
    fill: float = 10.0
    attempts: int = 3
    ban: float = BAN_SECONDS
    sleep: Callable[[float], None] = time.sleep
    monotonic: Callable[[], float] = time.monotonic
