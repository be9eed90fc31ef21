"""Write the rows received live to the store, shortly after they arrive and together."""

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

# Pause between two writes (s). Bars that arrive quickly, as after a reconnection, are written together: each write
# makes the file of a month anew. What a killed process had not written is downloaded again.
_PAUSE = 10.0
# Number of attempts to write: a download may hold the series' lock for long, and a full disk may be cleared.
_TRIES = 5
_RETRY_SECONDS = 30.0


class LiveStore:
    """Collect rows and write them in a thread, at once or at most 10 s later.

    Raises:
        StoreError: from `run`, if all attempts to write the rows failed for two minutes; from `flush` at the first
            failure.
    """

    def __init__(self, data_dir: Path, exchange: str, symbol: str, timeframe: str) -> None:
        self._data_dir = data_dir
        self._names = {
            kind: SeriesKey(exchange, symbol, stored_kind(kind, timeframe))
            for kind in ("bars", "funding", "open_interest")
        }
        self._queued: dict[str, list[tuple[Table, Range]]] = {}
        self._added = asyncio.Event()

    def add(self, kind: str, rows: Table, start: int, end: int) -> None:
        """Queue rows for the store: all rows of `kind` in [start, end), UTC ms."""
        self._queued.setdefault(kind, []).append((rows, (start, end)))
        self._added.set()

    def add_bar(self, start: int, values: tuple[float, ...], step: int) -> None:
        """Queue a bar for the store: `start` and `step` in ms, `values` open, high, low, close, volume."""
        names = series_columns("1m")
        row: Table = {names[0]: np.array([start], dtype=np.int64)}
        row |= {name: np.array([value]) for name, value in zip(names[1:], values, strict=True)}
        self.add("bars", row, start, start + step)

    async def run(self) -> None:
        """Write queued rows until cancelled; call `flush` afterwards to write the rest."""
        while True:
            await self._added.wait()
            await self._write_with_retries()
            await asyncio.sleep(_PAUSE)

    async def flush(self) -> None:
        """Write all queued rows now."""
        await asyncio.to_thread(self._write)

    async def _write_with_retries(self) -> None:
        for attempt in range(_TRIES):
            self._added.clear()
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
        for kind in list(self._queued):
            entries = self._queued[kind]
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
        # Every bar rewrites the file of its month. Arrow keeps that memory for each thread, so it must be released.
        pa.default_memory_pool().release_unused()


def _latest(rows: Table, more: Table) -> Table:
    """Return the rows of both tables; where both have a row, that of `more` is used."""
    keep = ~np.isin(rows["timestamp"], more["timestamp"])
    return unite({name: values[keep] for name, values in rows.items()}, more)
