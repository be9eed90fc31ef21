"""Write downloaded pages of one series to the store in a thread; pages that arrive quickly are written together."""

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
    """A value that the exchange changed after it was stored: `stored` is the old value, `now` the new one."""

    timestamp: int
    column: str
    stored: float
    now: float


class PageWriter:
    """Store the pages of a series as they arrive, in any order, and detect values that the exchange has revised.

    `recent` holds stored rows that a page may contain again, by the start of the missing range after them: each entry
    is a table of contiguous rows on the grid that ends at that start.
    """

    def __init__(self, writer: SeriesWriter, recent: dict[int, Table] | None = None) -> None:
        self._writer = writer
        self._recent = recent or {}
        self._lock = asyncio.Lock()
        self._waiting: list[tuple[Table, Range]] = []
        self.revisions: list[Revision] = []

    def rows_before(self, start: int) -> int:
        """Return how many stored rows before the missing range from `start` can be rechecked."""
        return len(self._recent[start]["timestamp"]) if start in self._recent else 0

    async def write(self, rows: Table, covered: Range) -> None:
        """Store the rows of the range; return when they are on disk.

        Raises:
            StoreError: they cannot be written.
        """
        self._waiting.append((rows, covered))
        async with self._lock:
            # The first task to get the lock writes the pages that all tasks have queued meanwhile.
            pages, self._waiting = self._waiting, []
            if pages:
                await in_thread(self._writer.write_pages, pages)

    async def note_empty(self, start: int, end: int) -> None:
        """Record that the exchange has no rows in [start, end); return when the note is on disk.

        Raises:
            StoreError: it cannot be written.
        """
        async with self._lock:
            await in_thread(self._writer.note_empty, start, end)

    async def compare(self, again: Table) -> None:
        """Compare rows that were requested again with the stored ones; record differences and store the new values.

        Raises:
            StoreError: they cannot be written.
        """
        for table in self._recent.values():
            times = np.intersect1d(table["timestamp"], again["timestamp"])
            old, new = np.isin(table["timestamp"], times), np.isin(again["timestamp"], times)
            differs = np.zeros(len(times), dtype=bool)
            for name in table:
                unlike = table[name][old] != again[name][new]
                differs |= unlike
                self.revisions += [
                    Revision(timestamp=int(time), column=name, stored=float(before), now=float(now))
                    for time, before, now in zip(
                        times[unlike], table[name][old][unlike], again[name][new][unlike], strict=True
                    )
                ]
            for time in times[differs]:
                row = {name: values[again["timestamp"] == time] for name, values in again.items()}
                await self.write(row, (int(time), int(time) + 1))

    def finish(self) -> None:
        """Store all queued pages without `await`, at the end of an interrupted download."""
        pages, self._waiting = self._waiting, []
        if pages:
            self._writer.write_pages(pages)
