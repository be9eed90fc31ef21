"""Whether the exchange's stamps are believed: contradictions between pushes, history and this machine's timer.

A bar is closed if a stamp of the exchange says so. Stamps ahead of the truth make open bars look closed. Three facts
show that: a delivered bar changes afterwards; a candle is pushed open after its end; the exchange's time runs away from
this machine's monotonic timer. Each of them is evidence. While there is evidence, a bar is delivered only after the
history has shown the same values twice, and it carries the mark `doubtful`, so that nobody trades on it.
"""

from ...exchange.candles import Values

__all__ = ["Doubt"]

# Number of bars in a row without any contradiction after which the stamps are believed again.
_AGREEING_BARS = 5
_FIRST_WAIT_MS, _LONGEST_WAIT_MS = 5_000, 60_000


class Doubt:
    """The evidence against the stamps of one series; `step` is the bar size in ms.

    Attributes:
        reason: the newest contradiction; empty while the stamps are believed.
        wait_ms: time between the two equal readings of a bar, ms of the exchange's clock.
    """

    def __init__(self, step: int) -> None:
        self.reason = ""
        self._longest = min(_LONGEST_WAIT_MS, step // 2)
        self.wait_ms = min(_FIRST_WAIT_MS, self._longest)
        self._agreeing = 0
        self._contradicted = False
        self._read: dict[int, tuple[Values, int]] = {}

    @property
    def on(self) -> bool:
        """Whether there is fresh evidence against the stamps."""
        return bool(self.reason)

    def contradict(self, reason: str, *, delivered: bool = False) -> bool:
        """Note a contradiction; return whether it is the first one. `delivered`: a bar was delivered with other values.

        If that happens although the bar was read twice, the wait between the two readings was too short.
        """
        if self.on and delivered:
            self.wait_ms = min(2 * self.wait_ms, self._longest)
        first, self.reason = not self.on, reason
        self._agreeing, self._contradicted = 0, True
        return first

    def confirms(self, start: int, values: Values, now: int) -> int:
        """Take a reading of a bar; return 0 if it is confirmed, else the time of the next reading (UTC ms).

        A reading is a version of the bar that would be delivered without doubt. Another version later is a
        contradiction.
        """
        before = self._read.get(start)
        if before is not None and before[0] == values:
            return 0 if now >= before[1] + self.wait_ms else before[1] + self.wait_ms
        if before is not None:
            self.contradict("a bar that counted as closed has changed")
        self._read[start] = (values, now)
        return now + self.wait_ms

    def delivered(self, start: int) -> bool:
        """Note that a bar is delivered; return whether the doubt ends with it."""
        self._read = {other: reading for other, reading in self._read.items() if other > start}
        if not self.on:
            return False
        self._agreeing, self._contradicted = (0 if self._contradicted else self._agreeing + 1), False
        if self._agreeing < _AGREEING_BARS:
            return False
        self.reason, self.wait_ms, self._agreeing = "", min(_FIRST_WAIT_MS, self._longest), 0
        self._read.clear()
        return True
