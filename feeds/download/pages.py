"""Pages of one series on their way into the store: written in a thread, together when they come fast."""

import asyncio
from dataclasses import dataclass

import numpy as np

from ..bars.ranges import Range
from ..exchange.rows import Table
from ..store.series_store import SeriesWriter
from .task_pool import in_thread

__all__ = ["PageWriter", "Revision"]


@dataclass(frozen=True, kw_only=True)
class Revision:
    """Name a value that the exchange changed after it was stored: `stored` before, `now` since this run."""

    timestamp: int
    column: str
    stored: float
    now: float


class PageWriter:
    """Store the pages of a series as they come, in any order, and notice what the exchange has revised.

    `recent` holds the stored rows that a page may bring again, by the start of the range missing after them:
    each is a table of rows on the grid, without a hole up to that start.
    """

    def __init__(self, writer: SeriesWriter, recent: dict[int, Table] | None = None) -> None:
        self._writer = writer
        self._recent = recent or {}
        self._lock = asyncio.Lock()
        self._waiting: list[tuple[Table, Range]] = []
        self.revisions: list[Revision] = []

    def rows_before(self, start: int) -> int:
        """Return how many stored rows before the missing range from `start` are worth asking for again."""
        return len(self._recent[start]["timestamp"]) if start in self._recent else 0

    async def write(self, rows: Table, covered: Range) -> None:
        """Return when the rows of the range are stored.

        Raises:
            StoreError: they cannot be written.
        """
        self._waiting.append((rows, covered))
        async with self._lock:
            # Whoever comes first takes what others have brought while the disk was busy.
            pages, self._waiting = self._waiting, []
            if pages:
                await in_thread(self._writer.write_pages, pages)

    async def note_empty(self, start: int, end: int) -> None:
        """Return when it is stored that the exchange has no rows in [start, end).

        Raises:
            StoreError: it cannot be written.
        """
        async with self._lock:
            await in_thread(self._writer.note_empty, start, end)

    async def compare(self, again: Table) -> None:
        """Note what differs between rows that came again and the stored ones; the new values are stored.

        Raises:
            StoreError: they cannot be written.
        """
        for table in self._recent.values():
            stamps = np.intersect1d(table["timestamp"], again["timestamp"])
            old, new = np.isin(table["timestamp"], stamps), np.isin(again["timestamp"], stamps)
            differs = np.zeros(len(stamps), dtype=bool)
            for name in table:
                unlike = table[name][old] != again[name][new]
                differs |= unlike
                self.revisions += [
                    Revision(timestamp=int(stamp), column=name, stored=float(before), now=float(now))
                    for stamp, before, now in zip(
                        stamps[unlike], table[name][old][unlike], again[name][new][unlike], strict=True
                    )
                ]
            for stamp in stamps[differs]:
                row = {name: values[again["timestamp"] == stamp] for name, values in again.items()}
                await self.write(row, (int(stamp), int(stamp) + 1))

    def finish(self) -> None:
        """Store what came and still waits, without `await`: the last word of an interrupted download."""
        pages, self._waiting = self._waiting, []
        if pages:
            self._writer.write_pages(pages)
