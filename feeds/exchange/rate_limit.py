"""The one door to the exchange: so many requests a second for all who share it, and none after a ban."""

import threading
import time
from collections import deque
from collections.abc import Callable

from ..errors import BadSource, ExchangeBanned

__all__ = ["REQUESTS_PER_SECOND", "Gate"]

# The exchange allows an address 600 requests in 5 s. At most 100 in any second are at most 600 in any 6 s, so
# the answers' way through the network may differ by a second before the exchange could count 600 in 5.
REQUESTS_PER_SECOND = 100.0


class Gate:
    """Admit at most `rate` requests in any second, in the order of asking; None admits all at once.

    Clients that share a gate share its rate and its ban. Safe for threads and for tasks.

    Raises:
        BadSource: `rate` is not positive.
    """

    def __init__(
        self, rate: float | None = REQUESTS_PER_SECOND, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        if rate is not None and not rate > 0:
            raise BadSource(f"expected requests per second > 0, found {rate}")
        self._clock = clock
        self._lock = threading.Lock()
        self._ban: str | None = None
        burst = 0 if rate is None else max(1, int(rate))
        self._seconds = 0.0 if rate is None else burst / rate
        self._admitted: deque[float] = deque(maxlen=burst)

    @property
    def ban(self) -> str | None:
        """Return why the gate is closed, None while it is open."""
        return self._ban

    def admit(self) -> float:
        """Book the next free place and return the seconds to wait for it.

        Raises:
            ExchangeBanned: the gate is closed.
        """
        self.check()
        with self._lock:
            now = self._clock()
            due = now
            if len(self._admitted) == self._admitted.maxlen and self._admitted:
                due = max(now, self._admitted[0] + self._seconds)
            self._admitted.append(due)
        return due - now

    def close(self, reason: str) -> None:
        """Let nobody through any more."""
        self._ban = reason

    def check(self) -> None:
        """Make sure that the gate is open; ask again after a wait, for it may have closed meanwhile.

        Raises:
            ExchangeBanned: the gate is closed.
        """
        if self._ban is not None:
            raise ExchangeBanned(self._ban)
