"""Compare the exchange's stamps with this machine's monotonic timer."""

from collections.abc import Callable

__all__ = ["StampBounds"]

# Difference between two quartz clocks, seconds per second: ten times that of a bad one.
_DRIFT = 0.0005


class StampBounds:
    """Compare the exchange's stamps with this machine's monotonic timer since the start.

    A stamp arrives after it was set. The stamp of a requested answer was set after the request was sent. So each
    answer bounds the difference between the two clocks from both sides, and an honest stamp stays within the bounds.
    `timer` returns seconds, `speed` is the speed of the exchange's clock, `slack` (seconds) covers jitter of both
    machines.
    """

    def __init__(self, timer: Callable[[], float], speed: float, slack: float) -> None:
        self._timer, self._speed, self._slack = timer, speed, slack
        self._bounds: tuple[float, float] | None = None
        self._at = 0.0

    def excess(self, stamp: int, sent: float | None = None) -> float:
        """Return how far a stamp (UTC ms) just received is beyond the bounds, 0.0 within; this machine's seconds.

        `sent` is the timer when the answer was requested, None for a push. Below the bounds is negative. An answer
        beyond the bounds sets new ones, since the exchange's clock may have been corrected.
        """
        now = self._timer()
        offset = stamp / (1000.0 * self._speed) - now
        latest = offset if sent is None else offset + now - sent
        if self._bounds is None:
            if sent is not None:
                self._bounds, self._at = (offset, latest), now
            return 0.0
        drift, self._at = _DRIFT * (now - self._at), now
        low, high = self._bounds[0] - drift, self._bounds[1] + drift
        beyond = 0.0
        if offset > high + self._slack:
            beyond = offset - high
        elif sent is not None and latest < low - self._slack:
            beyond = latest - low
        if beyond and sent is not None:
            self._bounds = (offset, latest)
        elif beyond:
            self._bounds = (low, high)
        else:
            self._bounds = (
                max(low, min(offset, high)),
                high if sent is None else max(low, min(high, latest)),
            )
        return beyond
