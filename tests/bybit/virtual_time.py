"""A timer that passes only when the exchange's clock is moved, shared with the processes that trade on it."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from feeds.live.clock import ExchangeClock

__all__ = ["VirtualTime"]

_NUMBER = struct.Struct("<d")


class VirtualTime:
    """Seconds in a small file that all processes map; one writes, the others read.

    Without it, a clock that stands still and leaps would contradict the machine's monotonic timer, and a live feed
    would doubt every bar.
    """

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(_NUMBER.pack(0.0))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), _NUMBER.size)

    @property
    def seconds(self) -> float:
        """The time now, in seconds from any origin."""
        return float(_NUMBER.unpack_from(self._map)[0])

    @seconds.setter
    def seconds(self, value: float) -> None:
        _NUMBER.pack_into(self._map, 0, value)

    @contextmanager
    def leading(self, speed: float) -> Iterator[None]:
        """Let every `ExchangeClock` of this process that is made within the block follow this time.

        A clock of `speed` multiplies its timer by it, and divides its waits by it: waits become short, and the clock
        still shows the time that the exchange shows.
        """
        before = ExchangeClock.__init__.__defaults__  # type: ignore[misc]
        ExchangeClock.__init__.__defaults__ = (speed, lambda: self.seconds / speed)  # type: ignore[misc]
        try:
            yield
        finally:
            ExchangeClock.__init__.__defaults__ = before  # type: ignore[misc]
