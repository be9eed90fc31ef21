"""The exchange's history as a live feed reads it: closed bars, and the last delivered ones to compare with."""

from collections import deque

import pandas as pd

from ...bars.cells import COLUMNS
from ...bars.timeframes import to_ms
from ...exchange.candles import Values
from ...exchange.market import AsyncMarket
from ...instruments import Instrument

__all__ = ["MOST_UNREAD", "PAGE", "SETTLED_MS", "BarHistory", "Delivered", "Row", "last_bars"]

Row = tuple[int, Values]
"""A closed bar: its open time (UTC ms) and its values."""

SETTLED_MS = 300
"""A bar of the history counts as closed only this long after its end (ms).

The margin covers the error of our clock. It also covers the exchange, which may set the timestamp of a response a
little after it read the data.
"""

PAGE = 900
"""Largest number of bars in one request."""

MOST_UNREAD = PAGE
"""Largest number of delivered bars that wait to be compared with the history: an outage of it can last long."""

# Number of delivered bars that every request checks again.
_OVERLAP = 3


class Delivered:
    """The last delivered bars, to notice values that the exchange changes afterwards.

    Attributes:
        unread: bars by their open (UTC ms) that were pushed, or of which another version was seen, until the history
            has shown them.
        suspects: those of them of which another version was seen.
    """

    def __init__(self) -> None:
        self.suspects: set[int] = set()
        self.unread: dict[int, Values] = {}
        self._recent: deque[Row] = deque(maxlen=_OVERLAP)

    def __len__(self) -> int:
        return len(self._recent)

    def add(self, start: int, values: Values, *, pushed: bool) -> None:
        """Note a delivered bar; `pushed`: the history has not shown it."""
        self._recent.append((start, values))
        if pushed:
            self._wait_for(start, values)

    def _wait_for(self, start: int, values: Values) -> None:
        self.unread[start] = values
        if len(self.unread) > MOST_UNREAD:
            oldest = min(self.unread)
            del self.unread[oldest]
            self.suspects.discard(oldest)

    def compare(self, start: int, values: Values) -> None:
        """Suspect a bar that was delivered with other values."""
        before = {**dict(self._recent), **self.unread}.get(start, values)
        if before != values:
            self.suspects.add(start)
            self._wait_for(start, before)

    def revise(self, start: int, values: Values) -> Values | None:
        """Replace the values of a delivered bar by the history's; return the earlier ones if they differ, else None."""
        before = self.unread.pop(start, None)
        self.suspects.discard(start)
        for place, (other, old) in enumerate(self._recent):
            if other == start:
                before, self._recent[place] = old, (start, values)
        return before if before != values else None


def last_bars(bars: pd.DataFrame) -> dict[int, Values]:
    """Return the last bars of a stored frame by their open (UTC ms): an earlier session may have stored wrong ones."""
    rows = bars[list(COLUMNS)].tail(_OVERLAP).itertuples(index=False, name=None)
    return {int(row[0]): row[1:] for row in rows}


class BarHistory:
    """Request closed bars of one series; the timestamp of each response decides which bars are closed."""

    def __init__(self, rest: AsyncMarket, instrument: Instrument, timeframe: str) -> None:
        self._rest, self._instrument, self._timeframe = rest, instrument, timeframe
        self._step = to_ms(timeframe)

    async def rows(self, start: int, end: int) -> list[Row]:
        """Return the closed bars that open in [start, end), UTC ms; at most `PAGE` and a few more."""
        table = await self._rest.klines(self._instrument, self._timeframe, start, end, closed_for=SETTLED_MS)
        columns = [table[name].tolist() for name in ("open", "high", "low", "close", "volume")]
        return list(zip(table["timestamp"].tolist(), zip(*columns, strict=True), strict=True))

    async def from_next(self, start: int, end: int, *, again: int) -> tuple[list[Row], list[Row]]:
        """Return the first page with bars from `start` on, up to `end`, and up to `again` bars before `start`."""
        low, before = start, []
        while True:
            high = min(end, low + PAGE * self._step)
            back = min(again, _OVERLAP) * self._step if low == start else 0
            rows = await self.rows(low - back, high)
            before += [row for row in rows if row[0] < start]
            fresh = [row for row in rows if row[0] >= start]
            if fresh or high == end:
                return before, fresh
            low = high
