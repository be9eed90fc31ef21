"""A rate limit shared by all clients of an exchange, and its end by a ban."""

import threading
import time
from collections import deque
from collections.abc import Callable

from ..errors import BadSource, ExchangeBanned

__all__ = ["BAN_SECONDS", "RateLimiter"]

BAN_SECONDS = 900.0
"""How long a run that goes on sends nothing after a ban; Bybit asks for 600 s at least."""


class RateLimiter:
    """Admit requests of a total weight of at most `rate` in any second, in the order of asking.

    A request weighs 1 unless said otherwise, and never more than one second's worth. `rate` None admits everything at
    once. Clients that share a limiter share its rate and its ban. Safe for threads and for tasks.

    Raises:
        BadSource: `rate` is not positive.
    """

    def __init__(self, rate: float | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        if rate is not None and not rate > 0:
            raise BadSource(f"expected requests per second > 0, found {rate}")
        self._clock = clock
        self._lock = threading.Lock()
        self._ban: str | None = None
        self._burst = 0 if rate is None else max(1, int(rate))
        self._seconds = 0.0 if rate is None else self._burst / rate
        # When each of the last `_burst` units of weight was admitted.
        self._admitted: deque[float] = deque(maxlen=self._burst)

    @property
    def ban(self) -> str | None:
        """Return why nothing is admitted any more, None while there is no ban."""
        return self._ban

    def admit(self, weight: int = 1) -> float:
        """Book the next free place and return the seconds to wait for it.

        Raises:
            ExchangeBanned: the limiter is closed.
        """
        self.check()
        with self._lock:
            now = self._clock()
            due = now
            weight = min(max(1, weight), self._burst)
            # The newest unit that has to be a period old before these fit in.
            oldest = len(self._admitted) + weight - self._burst - 1
            if self._burst and oldest >= 0:
                due = max(now, self._admitted[oldest] + self._seconds)
            self._admitted.extend([due] * weight)
        return due - now

    def close(self, reason: str) -> None:
        """Admit nothing any more."""
        self._ban = reason

    def check(self) -> None:
        """Make sure that there is no ban; ask again after a wait, for one may have come meanwhile.

        Raises:
            ExchangeBanned: the limiter is closed.
        """
        if self._ban is not None:
            raise ExchangeBanned(self._ban)
