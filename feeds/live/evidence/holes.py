"""Bars that the history lacks between others: waited for, then left out, and asked for again for a day.

After an outage an exchange may show a bar later than its successors. A download never believes such a hole within a
day. A live feed cannot wait that long, because the bars behind the hole wait too. So it waits for a limited time, and
corrects the store when a bar that was left out comes later.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ...bars.ranges import Range, subtract
from .history import Row

__all__ = ["Holes", "ends_of_holes", "known_bars"]

_DAY_MS = 86_400_000
_FIRST_PAUSE_MS, _LONGEST_PAUSE_MS = 60_000, 3_600_000


@dataclass
class _LeftOut:
    span: Range
    since: int
    pause: int
    ask_at: int


class Holes:
    """The missing bars of one series; ranges are half-open, all times UTC ms of the exchange's clock.

    `wait_ms` is how long a hole is waited for since it was first seen.
    """

    def __init__(self, wait_ms: int) -> None:
        self._wait_ms = wait_ms
        # By the end of the hole: the first missing bars may still come one by one.
        self._seen: dict[int, int] = {}
        self._left_out: list[_LeftOut] = []

    def see(self, ends: Iterable[int], now: int) -> None:
        """Note the holes before the bars that open at `ends`; a hole that is no longer seen is forgotten."""
        self._seen = {end: self._seen.get(end, now) for end in ends}

    def wait_left(self, end: int, now: int) -> int:
        """Return how many ms the hole before the bar that opens at `end` is still waited for."""
        return max(0, self._seen.setdefault(end, now) + self._wait_ms - now)

    def leave_out(self, span: Range, now: int) -> None:
        """Note that the bars of a range are delivered no more, and are to be asked for again."""
        self._seen.pop(span[1], None)
        self._left_out.append(_LeftOut(span, now, _FIRST_PAUSE_MS, now + _FIRST_PAUSE_MS))

    def due(self, now: int) -> Range | None:
        """Return a left-out range that is to be asked for now; the pauses grow, and end after a day."""
        self._left_out = [hole for hole in self._left_out if now - hole.since < _DAY_MS]
        for hole in self._left_out:
            if now >= hole.ask_at:
                hole.pause = min(2 * hole.pause, _LONGEST_PAUSE_MS)
                hole.ask_at = now + hole.pause
                return hole.span
        return None

    def found(self, span: Range, bars: Iterable[Range]) -> None:
        """Note the bars that came for a left-out range; what is still missing is asked for further on."""
        known = list(bars)
        kept: list[_LeftOut] = []
        for hole in self._left_out:
            parts = subtract(hole.span, known) if hole.span == span else [hole.span]
            kept += [_LeftOut(part, hole.since, hole.pause, hole.ask_at) for part in parts]
        self._left_out = kept


def ends_of_holes(rows: Sequence[Row], first: int, step: int) -> list[int]:
    """Return the opens of the bars before which others are missing; the first bar is due at `first` (UTC ms)."""
    starts = [start for start, _ in rows]
    dues = [first, *(start + step for start in starts[:-1])]
    return [start for start, due in zip(starts, dues, strict=True) if start > due]


def known_bars(opens: ArrayLike, span: Range, launch: int | None, step: int) -> int:
    """Return how many downloaded bars come before a hole of the last day, which a live feed has to wait for.

    `opens` [N] are their opens, `span` the range that was asked for, `launch` the start of trading. All are UTC ms.
    """
    times = np.asarray(opens, dtype=np.int64)
    first = max(span[0], (launch or 0) // step * step)
    dues = np.append(first, times[:-1] + step)[: len(times)]
    holes = np.flatnonzero((times > dues) & (times > span[1] - _DAY_MS))
    return int(holes[0]) if len(holes) else len(times)
