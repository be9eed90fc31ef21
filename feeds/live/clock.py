"""The exchange's time, from what it said last and a timer that nobody can set."""

import time
from collections.abc import Callable

__all__ = ["ExchangeClock"]

# A stamp further ahead than this (seconds of the machine) is not believed before the exchange was asked.
_PLAUSIBLE_LEAD = 10.0


def _timer() -> float:
    # CLOCK_BOOTTIME goes on while the machine sleeps; where there is none a sleep is noticed at the next stamp.
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot is None else time.clock_gettime(boot)


class ExchangeClock:
    """Tell the exchange's time in UTC ms; never later than it is, as answers arrive after they were stamped.

    The machine's own date plays no part. `speed` is how many times as fast as the machine's the exchange's clock runs:
    1 but for a loopback exchange. `timer` returns seconds from anywhere, and never runs backwards.
    """

    def __init__(self, speed: float = 1.0, timer: Callable[[], float] = _timer) -> None:
        self.speed = speed
        self._timer = timer
        self._stamp: int | None = None
        self._since = 0.0

    def set(self, stamp: int) -> None:
        """Believe `stamp`, which the exchange gave for the present, even if it lies before what was told so far."""
        self._stamp, self._since = stamp, self._timer()

    def hear(self, stamp: int) -> bool:
        """Take in a stamp of the recent past; return False when it lies too far ahead to be believed."""
        lead = stamp - self.now()
        if lead > _PLAUSIBLE_LEAD * 1000.0 * self.speed:
            return False
        if lead > 0:
            self.set(stamp)
        return True

    def now(self) -> int:
        """Return the exchange's time in UTC ms; `set` comes first."""
        if self._stamp is None:
            raise RuntimeError("the exchange was not asked for the time yet")
        return self._stamp + int(self.speed * 1000.0 * (self._timer() - self._since))

    def seconds_until(self, stamp: int) -> float:
        """Return the machine's seconds until the exchange's time is `stamp`, 0.0 when it was."""
        return max(0.0, (stamp - self.now()) / (1000.0 * self.speed))

    def seconds(self, exchange_seconds: float) -> float:
        """Return how many of the machine's seconds so many of the exchange's take."""
        return exchange_seconds / self.speed
