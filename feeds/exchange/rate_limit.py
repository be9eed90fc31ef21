"""A rate limiter that the clients of an exchange can share; a ban closes it."""

import threading
import time
from collections import deque
from collections.abc import Callable

from ..errors import BadSource, ExchangeBanned

__all__ = ["BAN_SECONDS", "RateLimiter", "shared_limiter"]

BAN_SECONDS = 900.0
"""Pause after a ban before a continuing run sends requests again (s); Bybit demands at least 600 s."""


class RateLimiter:
    """Admit requests with a total weight of at most `rate` per second, first come, first served.

    The weight of a request is 1 by default, and is clipped to the weight of one second. With `rate` None all requests
    are admitted at once. Clients that share a limiter share its rate and its ban. Safe for threads and for tasks.

    Raises:
        BadSource: `rate` is not positive.
    """

    def __init__(self, rate: float | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        if rate is not None and not rate > 0:
            raise BadSource(f"expected requests per second > 0, found {rate}")
        self._clock = clock
        self._lock = threading.Lock()
        self._ban: str | None = None
        self._banned_at = 0.0
        self._burst = 0 if rate is None else max(1, int(rate))
        self._seconds = 0.0 if rate is None else self._burst / rate
        # When each of the last `_burst` units of weight was admitted.
        self._admitted: deque[float] = deque(maxlen=self._burst)

    @property
    def ban(self) -> str | None:
        """Return the reason of the ban, None while there is no ban."""
        return self._ban

    def admit(self, weight: int = 1) -> float:
        """Reserve the next free time slot and return the seconds to wait for it.

        Raises:
            ExchangeBanned: the limiter is closed.
        """
        self.check()
        with self._lock:
            now = self._clock()
            due = now
            weight = min(max(1, weight), self._burst)
            # This unit must be at least one period old before the new units fit into the window.
            oldest = len(self._admitted) + weight - self._burst - 1
            if self._burst and oldest >= 0:
                due = max(now, self._admitted[oldest] + self._seconds)
            self._admitted.extend([due] * weight)
        return due - now

    def close(self, reason: str) -> None:
        """Refuse all further requests; `reason` is the text of the errors."""
        self._ban, self._banned_at = reason, self._clock()

    def is_banned_within(self, seconds: float) -> bool:
        """Return whether there is a ban that began at most `seconds` ago."""
        return self._ban is not None and self._clock() - self._banned_at < seconds

    def check(self) -> None:
        """Raise an error if there is a ban; call it again after every wait, because a ban may have begun meanwhile.

        Raises:
            ExchangeBanned: the limiter is closed.
        """
        if self._ban is not None:
            raise ExchangeBanned(self._ban)


_SHARED: dict[str, RateLimiter] = {}
_SHARING = threading.Lock()


def shared_limiter(place: str, rate: float | None, ban: float = BAN_SECONDS) -> RateLimiter:
    """Return the limiter that all live feeds of this process have for one place; a new one `ban` seconds after a ban.

    The exchange counts requests by address: feeds that were each below its limit could together be above it.
    """
    with _SHARING:
        found = _SHARED.get(place)
        if found is None or (found.ban is not None and not found.is_banned_within(ban)):
            found = _SHARED[place] = RateLimiter(rate)
        return found
