"""Estimate the exchange's time from its last timestamp and a monotonic timer; the machine's date is not used."""

import time
from collections.abc import Callable

__all__ = ["ExchangeClock"]

# A timestamp further ahead than this (machine seconds) is accepted only after a request for the exchange's time.
_PLAUSIBLE_LEAD = 10.0


def _timer() -> float:
    # CLOCK_BOOTTIME also runs while the machine is suspended. Without it, the next timestamp corrects the clock.
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot is None else time.clock_gettime(boot)


class ExchangeClock:
    """The exchange's time in UTC ms. It is never ahead: a response arrives after the exchange set its timestamp.

    The machine's date is not used. `speed` is the speed of the exchange's clock relative to the machine's; it is 1
    except for a loopback exchange. `timer` returns seconds from any origin and must be monotonic.
    """

    def __init__(self, speed: float = 1.0, timer: Callable[[], float] = _timer) -> None:
        self.speed = speed
        self.timer = timer
        self._set_to: int | None = None
        self._since = 0.0

    def set(self, time_ms: int) -> None:
        """Set the clock to `time_ms`, the exchange's present time, even backwards."""
        self._set_to, self._since = time_ms, self.timer()

    def move_forward(self, time_ms: int) -> bool:
        """Move the clock forward to a received timestamp; return False if the timestamp is implausibly far ahead."""
        lead = time_ms - self.now()
        if lead > _PLAUSIBLE_LEAD * 1000.0 * self.speed:
            return False
        if lead > 0:
            self.set(time_ms)
        return True

    def now(self) -> int:
        """Return the exchange's time in UTC ms.

        Raises:
            RuntimeError: `set` was never called.
        """
        if self._set_to is None:
            raise RuntimeError("the clock is not set: call set() with the exchange's time first")
        return self._set_to + int(self.speed * 1000.0 * (self.timer() - self._since))

    def seconds_until(self, time_ms: int) -> float:
        """Return the machine's seconds until the exchange's time is `time_ms` (UTC ms), 0.0 if that is past."""
        return max(0.0, (time_ms - self.now()) / (1000.0 * self.speed))

    def seconds(self, exchange_seconds: float) -> float:
        """Convert seconds of the exchange's clock to seconds of the machine's."""
        return exchange_seconds / self.speed
