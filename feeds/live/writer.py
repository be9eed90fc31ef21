"""Everything received live goes to the store of history, a little later and in one piece."""

import asyncio
import logging
from pathlib import Path

import numpy as np
import pyarrow as pa

from ..bars.ranges import Range, merge
from ..errors import StoreError
from ..exchange.rows import Table, unite
from ..store.keys import SeriesKey, series_columns, stored_kind
from ..store.series_store import write_series

__all__ = ["LiveStore"]

_log = logging.getLogger(__name__)

# Bars that come in quick succession, after a pause of the connection, are written together.
_PAUSE = 1.0
# The lock of a series may be a long download's, a full disk may be cleared: so often is a write tried again.
_TRIES = 5
_RETRY_SECONDS = 30.0


class LiveStore:
    """Collect rows and write them from a thread, at most once a second.

    Raises:
        StoreError: what was received could not be stored for minutes.
    """

    def __init__(self, data_dir: Path, exchange: str, symbol: str, timeframe: str) -> None:
        self._data_dir = data_dir
        self._names = {
            kind: SeriesKey(exchange, symbol, stored_kind(kind, timeframe))
            for kind in ("bars", "funding", "open_interest")
        }
        self._waiting: dict[str, list[tuple[Table, Range]]] = {}
        self._news = asyncio.Event()

    def add(self, kind: str, rows: Table, start: int, end: int) -> None:
        """Store `rows`, which are all that there is in [start, end) UTC ms, soon."""
        self._waiting.setdefault(kind, []).append((rows, (start, end)))
        self._news.set()

    def add_bar(self, start: int, values: tuple[float, ...], step: int) -> None:
        """Store a bar soon."""
        names = series_columns("1m")
        row: Table = {names[0]: np.array([start], dtype=np.int64)}
        row |= {name: np.array([value]) for name, value in zip(names[1:], values, strict=True)}
        self.add("bars", row, start, start + step)

    async def run(self) -> None:
        """Write what was added, for ever; what is left when this is cancelled is for `flush`."""
        while True:
            await self._news.wait()
            await self._write_patiently()
            await asyncio.sleep(_PAUSE)

    async def flush(self) -> None:
        """Write what was added and not yet written."""
        await asyncio.to_thread(self._write)

    async def _write_patiently(self) -> None:
        for attempt in range(_TRIES):
            self._news.clear()
            try:
                await self.flush()
            except StoreError as error:
                if attempt + 1 == _TRIES:
                    raise
                _log.warning("%s; trying again in %g s", error, _RETRY_SECONDS)
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                return

    def _write(self) -> None:
        for kind in list(self._waiting):
            entries = self._waiting[kind]
            taken = len(entries)
            if not taken:
                continue
            with write_series(self._data_dir, self._names[kind]) as writer:
                for low, high in merge(covered for _, covered in entries[:taken]):
                    inside = [rows for rows, (start, _) in entries[:taken] if low <= start < high]
                    rows = inside[0]
                    for more in inside[1:]:
                        rows = _latest(rows, more)
                    writer.write(rows, (low, high))
            del entries[:taken]
        # A month's file is read and written again for every bar: what Arrow keeps of that for this thread adds up.
        pa.default_memory_pool().release_unused()


def _latest(rows: Table, more: Table) -> Table:
    """Return both tables' rows; what comes later stands where both have one."""
    keep = ~np.isin(rows["timestamp"], more["timestamp"])
    return unite({name: values[keep] for name, values in rows.items()}, more)
