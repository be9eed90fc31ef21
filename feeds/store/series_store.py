"""The parquet store: `DATA_DIR/EXCHANGE/SYMBOL/KIND/PERIOD.parquet`, one file a month or a year.

Every file states which time ranges it covers (feeds.store.chunks). From these the store knows which ranges are missing,
which are verified gaps, and what a download has to request. Readers need no lock; a writer holds the series' lock.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scorenet.base.files import remove_leftovers

from ..bars.ranges import Range, clip, merge
from ..bars.whole_file import write_whole
from ..errors import StoreError
from .chunks import (
    Chunk,
    Columns,
    CorruptChunk,
    Period,
    chunk_header,
    decode,
    encode,
    parse_period,
    periods,
)
from .empty_note import add_empty, read_empty
from .keys import SeriesKey, series_columns, series_folders, series_path
from .locks import file_lock

__all__ = [
    "Damage",
    "SeriesInfo",
    "SeriesKey",
    "SeriesWriter",
    "check",
    "list_series",
    "read_series",
    "series_info",
    "write_series",
]

_LOCK = ".lock"
_LOCK_SECONDS = 60.0
_FOREVER = 1 << 62


@dataclass(frozen=True)
class SeriesInfo:
    """A stored series: times in UTC ms, None without rows; `covered` holds half-open ranges.

    `damaged`: the periods whose file cannot be used, or was moved aside and has not been replaced.
    """

    key: SeriesKey
    rows: int
    first: int | None
    last: int | None
    covered: list[Range]
    path: Path
    damaged: tuple[Period, ...] = ()


@dataclass(frozen=True)
class Damage:
    """A damaged file of the store, and the reason."""

    path: Path
    reason: str


def read_series(data_dir: str | Path, key: SeriesKey, start: int, end: int) -> Chunk:
    """Return the rows with start <= timestamp < end (UTC ms), and the covered ranges within [start, end).

    A corrupt file is moved aside to `*.corrupt` and counts as missing.

    Raises:
        StoreError: a file cannot be read, or is corrupt and cannot be moved aside.
    """
    folder = series_path(data_dir, key)
    chunks = [_load(folder, key, period) for period in _stored_periods(folder, start, end)]
    if None in chunks:
        # The lock keeps a file just replaced by a writer from being moved aside in place of the corrupt one.
        with write_series(data_dir, key) as writer:
            return writer.read(start, end)
    return _slice(folder, key, chunks, start, end)


@contextmanager
def write_series(
    data_dir: str | Path, key: SeriesKey, *, timeout: float = _LOCK_SECONDS
) -> Iterator["SeriesWriter"]:
    """Open a series for writing, holding its lock for the length of the block.

    Raises:
        StoreError: the folder cannot be written, or another process held the lock for `timeout` seconds.
    """
    folder = series_path(data_dir, key)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot create {folder}: {error.strerror or error}; use another folder") from error
    with file_lock(folder / _LOCK, timeout):
        remove_leftovers(folder)
        yield SeriesWriter(folder, key)


class SeriesWriter:
    """Write rows of one series; obtained from `write_series` and valid inside its block."""

    def __init__(self, folder: Path, key: SeriesKey) -> None:
        self._folder = folder
        self._key = key

    @property
    def folder(self) -> Path:
        """Return the folder of the series."""
        return self._folder

    def write(self, rows: Columns, covered: Range) -> None:
        """Store the rows of the range `covered`, replacing all rows stored for it.

        Raises:
            StoreError: the rows are not increasing finite values inside `covered`, or cannot be written.
        """
        self.write_pages([(rows, covered)])

    def write_pages(self, pages: Sequence[tuple[Columns, Range]]) -> None:
        """Store several pages, writing each file once; where pages overlap, the later page wins.

        Raises:
            StoreError: as `write`; if a page is invalid, none is stored.
        """
        names = series_columns(self._key.kind)
        touched: dict[Period, list[tuple[Columns, Range]]] = {}
        for rows, covered in pages:
            _check_rows(rows, names, covered)
            for period in periods(*covered, monthly=_monthly(self._key.kind)):
                touched.setdefault(period, []).append((rows, covered))
        for period, parts in sorted(touched.items(), key=lambda item: item[0].start):
            chunk = self.load(period) or Chunk({name: parts[0][0][name][:0] for name in names}, [])
            for rows, covered in parts:
                chunk = _merged(chunk, rows, clip([covered], period.start, period.end)[0])
            write_whole(_chunk_path(self._folder, period), encode(chunk, _identity(self._key, period)))

    def load(self, period: Period) -> Chunk | None:
        """Return the stored chunk of a period, None if there is none; a corrupt one is moved aside first.

        Raises:
            StoreError: the file cannot be read or moved.
        """
        chunk = _load(self._folder, self._key, period)
        path = _chunk_path(self._folder, period)
        if chunk is None and path.exists():
            try:
                path.replace(path.with_name(f"{path.name}.corrupt"))
            except OSError as error:
                raise StoreError(
                    f"{path} is corrupt and cannot be moved: {error.strerror or error}"
                ) from error
        return chunk

    def read(self, start: int, end: int) -> Chunk:
        """Return the same as `read_series`, for the holder of the lock.

        Raises:
            StoreError: a file cannot be read or moved.
        """
        chunks = [self.load(period) for period in _stored_periods(self._folder, start, end)]
        return _slice(self._folder, self._key, chunks, start, end)

    def note_empty(self, start: int, end: int) -> None:
        """Store that the exchange has no rows in [start, end), e.g. before it listed the symbol.

        Raises:
            StoreError: the note cannot be written.
        """
        add_empty(self._folder, self._key, (start, end))


def list_series(data_dir: str | Path) -> list[SeriesInfo]:
    """Return every stored series, sorted by exchange, symbol and kind; files that are not chunks are ignored.

    Raises:
        StoreError: the folder cannot be read.
    """
    return [series_info(data_dir, key) for _, key in series_folders(data_dir)]


def series_info(data_dir: str | Path, key: SeriesKey) -> SeriesInfo:
    """Return a series' description from its file headers; a series without files has no rows and covers nothing.

    Raises:
        StoreError: the folder cannot be read.
    """
    folder = series_path(data_dir, key)
    headers = []
    damaged = [parse_period(path.name.partition(".")[0]) for path in _corrupt(folder)]
    for period in _stored_periods(folder, 0, _FOREVER):
        try:
            headers.append(chunk_header(_chunk_path(folder, period), _identity(key, period)))
        except CorruptChunk:
            damaged.append(period)  # the rest of the series is usable
    times = [header[edge] for header in headers for edge in ("first", "last") if header["rows"]]
    return SeriesInfo(
        key,
        rows=sum(header["rows"] for header in headers),
        first=min(times, default=None),
        last=max(times, default=None),
        covered=merge([*read_empty(folder, key), *((a, b) for h in headers for a, b in h["covered"])]),
        path=folder,
        damaged=tuple(period for period in damaged if period is not None),
    )


def check(data_dir: str | Path) -> list[Damage]:
    """Read the whole store and return every damaged file; nothing is changed.

    Raises:
        StoreError: the folder or a file cannot be read.
    """
    damages = []
    for folder, key in series_folders(data_dir):
        damages += [
            Damage(path, "moved aside earlier; run `scorenet fetch` to download it again")
            for path in _corrupt(folder)
        ]
        for period in _stored_periods(folder, 0, _FOREVER):
            path = _chunk_path(folder, period)
            try:
                decode(_bytes(path), _identity(key, period), series_columns(key.kind))
            except CorruptChunk as error:
                damages.append(Damage(path, str(error)))
    return damages


def _corrupt(folder: Path) -> list[Path]:
    """Return the moved-aside files that have not been replaced yet."""
    return [path for path in sorted(folder.glob("*.corrupt")) if not path.with_suffix("").exists()]


def _monthly(kind: str) -> bool:
    return kind.endswith("m")


def _chunk_path(folder: Path, period: Period) -> Path:
    return folder / f"{period.label}.parquet"


def _identity(key: SeriesKey, period: Period) -> dict[str, str]:
    return {"exchange": key.exchange, "symbol": key.symbol, "kind": key.kind, "period": period.label}


def _stored_periods(folder: Path, start: int, end: int) -> list[Period]:
    """Return the periods with a file that touch [start, end), oldest first."""
    try:
        # Not `glob`: it takes a folder that may not be read for an empty one.
        found = [parse_period(path.stem) for path in folder.iterdir() if path.suffix == ".parquet"]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreError(f"cannot read {folder}: {error.strerror or error}") from error
    touching = [
        period for period in found if period is not None and period.start < end and period.end > start
    ]
    return sorted(touching, key=lambda period: period.start)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror or error}") from error


def _load(folder: Path, key: SeriesKey, period: Period) -> Chunk | None:
    """Return a chunk, None when it is absent or corrupt."""
    path = _chunk_path(folder, period)
    if not path.exists():
        return None
    try:
        return decode(_bytes(path), _identity(key, period), series_columns(key.kind))
    except CorruptChunk:
        return None


def _merged(chunk: Chunk, rows: Columns, span: Range) -> Chunk:
    """Return the chunk with its rows in `span` replaced by the new ones."""
    a, b = np.searchsorted(rows["timestamp"], span)
    before, after = np.searchsorted(chunk.columns["timestamp"], span)
    columns = {
        name: np.concatenate([old[:before], rows[name][a:b], old[after:]])
        for name, old in chunk.columns.items()
    }
    return Chunk(columns, merge([*chunk.covered, span]))


def _slice(folder: Path, key: SeriesKey, chunks: Sequence[Chunk | None], start: int, end: int) -> Chunk:
    whole = [chunk for chunk in chunks if chunk is not None]
    columns: dict[str, Any] = {}
    for name in series_columns(key.kind):
        empty = np.empty(0, dtype=np.int64 if name == "timestamp" else np.float64)
        columns[name] = np.concatenate([empty, *(chunk.columns[name] for chunk in whole)])
    a, b = np.searchsorted(columns["timestamp"], [start, end])
    covered = [*read_empty(folder, key), *(span for chunk in whole for span in chunk.covered)]
    return Chunk({name: values[a:b] for name, values in columns.items()}, clip(covered, start, end))


def _check_rows(rows: Columns, names: Sequence[str], covered: Range) -> None:
    times = rows["timestamp"]
    if list(rows) != list(names) or any(len(values) != len(times) for values in rows.values()):
        raise StoreError(f"expected columns {', '.join(names)} of one length, found {', '.join(rows)}")
    if len(times) and (times[0] < covered[0] or times[-1] >= covered[1] or np.any(np.diff(times) <= 0)):
        raise StoreError(f"expected increasing timestamps inside [{covered[0]}, {covered[1]})")
    if not all(np.isfinite(values).all() for values in rows.values()):
        raise StoreError("expected finite values")
