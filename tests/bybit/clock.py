"""The loopback's time: the machine's time, a fixed time, or a clock with any start and speed."""

from __future__ import annotations

import time

__all__ = ["Clock"]


class Clock:
    """The exchange's time in UTC ms.

    `start` None follows the machine. Otherwise the time is `start` and `speed` times as fast as the machine's from
    there: 0 stands still until it is set, 60 plays an hour in a minute.
    """

    def __init__(self, start: int | None = None, speed: float = 0.0) -> None:
        if speed < 0:
            raise ValueError(f"expected a speed of 0 or more, found {speed}")
        self.speed = 1.0 if start is None else speed
        self._offset: float | None = None if start is None else float(start)
        self._since = time.monotonic()

    def now(self) -> int:
        """Return the exchange's time in UTC ms."""
        if self._offset is None:
            return time.time_ns() // 1_000_000
        return int(self._offset + self.speed * 1000.0 * (time.monotonic() - self._since))

    def set(self, now: int | None) -> None:
        """Set the time to `now` and continue at the same speed; None follows the machine's time."""
        self._offset, self._since = None if now is None else float(now), time.monotonic()

    def seconds_until(self, stamp: int) -> float | None:
        """Return the machine's seconds until the exchange's `stamp`; None while the clock stands still."""
        left = max(0.0, (stamp - self.now()) / 1000.0)
        if left == 0.0:
            return 0.0
        return left / self.speed if self.speed else None
