"""One parquet file of a series (a chunk): the rows of a month or a year, and the time ranges that they cover.

The metadata of a chunk holds its identity, the ranges it covers (a covered range without rows is a verified gap), and a
SHA-256 over the metadata and all values. No separate index is needed, so none can become inconsistent.
"""

import datetime as dt
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from scorenet.base.error_line import error_line

from ..bars.caps import TooLarge
from ..bars.parquet import check_pages
from ..bars.ranges import Range, merge
from ..errors import FeedError

__all__ = [
    "Chunk",
    "Columns",
    "CorruptChunk",
    "Period",
    "chunk_header",
    "decode",
    "encode",
    "parse_period",
    "periods",
]

Columns = Mapping[str, NDArray[Any]]

_FORMAT = 1
_MAGIC = b"PAR1"
_MAX_ROWS = 366 * 24 * 60  # a year of minutes
_PHYSICAL = ("INT64", "DOUBLE")
_METADATA = b"scorenet"
_LABEL = re.compile(r"(19[7-9]\d|2\d{3})(?:-(0[1-9]|1[0-2]))?")


class CorruptChunk(FeedError):
    """The content of a chunk differs from what was written."""


@dataclass(frozen=True)
class Period:
    """A calendar year ("2024") or month ("2024-06") and its half-open range in UTC ms."""

    label: str
    start: int
    end: int


@dataclass(frozen=True)
class Chunk:
    """The rows of one period, `timestamp` first, each column [N]; `covered` is sorted and merged."""

    columns: Columns
    covered: list[Range]


def periods(start: int, end: int, *, monthly: bool) -> Iterator[Period]:
    """Return the calendar months or years that [start, end) touches, oldest first."""
    if start >= end:
        return
    first = dt.datetime.fromtimestamp(start // 1000, tz=dt.UTC)
    year, month = first.year, first.month if monthly else 1
    low = _month_start(year, month)
    while low < end:
        label = f"{year:04d}-{month:02d}" if monthly else f"{year:04d}"
        year, month = (year + month // 12, month % 12 + 1) if monthly else (year + 1, 1)
        high = _month_start(year, month)
        yield Period(label, low, high)
        low = high


def parse_period(label: str) -> Period | None:
    """Return the period with that label, None if the text is not a label."""
    match = _LABEL.fullmatch(label)
    if match is None:
        return None
    start = _month_start(int(match[1]), int(match[2] or 1))
    return next(periods(start, start + 1, monthly=match[2] is not None))


def encode(chunk: Chunk, identity: Mapping[str, str]) -> bytes:
    """Return the parquet bytes of a chunk; equal chunks give equal bytes.

    `identity` names the series and period (exchange, symbol, kind, period).
    """
    times = chunk.columns["timestamp"]
    header: dict[str, Any] = {
        **identity,
        "format": _FORMAT,
        "columns": list(chunk.columns),
        "rows": len(times),
        "first": int(times[0]) if len(times) else None,
        "last": int(times[-1]) if len(times) else None,
        "covered": [list(span) for span in merge(chunk.covered)],
    }
    header["sha256"] = _digest(header, chunk.columns)
    table = pa.table({name: pa.array(values) for name, values in chunk.columns.items()})
    table = table.replace_schema_metadata({_METADATA: json.dumps(header, sort_keys=True)})
    sink = pa.BufferOutputStream()
    # Regular times and floats with equal high bytes: these encodings are smaller and faster than dictionaries.
    encodings = {
        name: "DELTA_BINARY_PACKED" if name == "timestamp" else "BYTE_STREAM_SPLIT" for name in chunk.columns
    }
    pq.write_table(table, sink, compression="zstd", use_dictionary=False, column_encoding=encodings)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def decode(content: bytes, identity: Mapping[str, str], names: Sequence[str]) -> Chunk:
    """Return the chunk in `content` after checking identity, columns and checksum.

    Raises:
        CorruptChunk: the bytes are not a chunk, belong to another series, or have changed since they were written.
    """
    if content[:4] != _MAGIC or content[-4:] != _MAGIC:
        raise CorruptChunk("not a complete parquet file")
    try:
        # `pq.read_table` would start threads; a process that then forks may abort at exit.
        file = pq.ParquetFile(pa.BufferReader(content))
        if file.metadata.num_rows > _MAX_ROWS or file.metadata.num_columns > len(names):
            raise CorruptChunk(
                f"{file.metadata.num_rows:,} rows, {file.metadata.num_columns:,} columns: more than a chunk can have"
            )
        parts = map(file.metadata.schema.column, range(file.metadata.num_columns))
        if any(part.max_repetition_level or part.physical_type not in _PHYSICAL for part in parts):
            # A text of a megabyte in a dictionary page would be there once a row.
            raise CorruptChunk("columns that are no numbers")
        check_pages(content, file.metadata.num_columns)
        table = file.read(use_threads=False)
        found = table.column_names  # inside `try`, because decoding a damaged name raises an error
    except (pa.ArrowException, OSError, ValueError, MemoryError, TooLarge) as error:
        raise CorruptChunk(f"not a readable parquet file ({error_line(error, 120)})") from error
    header = _header(table.schema.metadata, identity)
    if list(names) != found or header.get("columns") != found:
        raise CorruptChunk(f"expected columns {', '.join(names)}, found {', '.join(found)}")
    columns = {name: _values(table.column(name), name) for name in names}
    claimed = header.pop("sha256", None)
    if claimed != _digest(header, columns):
        raise CorruptChunk("the checksum does not match the content")
    return Chunk(columns, [(int(a), int(b)) for a, b in header["covered"]])


def chunk_header(path: Path, identity: Mapping[str, str]) -> dict[str, Any]:
    """Return a chunk's metadata (rows, first, last, covered ...) without reading or verifying its rows.

    Raises:
        CorruptChunk: the file is not a chunk, or belongs to another series.
    """
    try:
        schema = pq.read_schema(path)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise CorruptChunk(f"not a readable parquet file ({error_line(error, 120)})") from error
    return _header(schema.metadata, identity)


def _header(metadata: Mapping[bytes, bytes] | None, identity: Mapping[str, str]) -> dict[str, Any]:
    try:
        header = json.loads((metadata or {})[_METADATA])
    except (KeyError, ValueError, RecursionError) as error:
        raise CorruptChunk("a parquet file that this store did not write") from error
    if not isinstance(header, dict) or header.get("format") != _FORMAT:
        raise CorruptChunk("a chunk of another version of the store")
    for field, expected in identity.items():
        if header.get(field) != expected:
            raise CorruptChunk(f"expected {field} {expected!r}, found {header.get(field)!r}")
    return header


def _values(column: Any, name: str) -> NDArray[Any]:
    expected = pa.int64() if name == "timestamp" else pa.float64()
    if column.type != expected or column.null_count:
        raise CorruptChunk(f"column {name!r}: expected {expected} without nulls, found {column.type}")
    values: NDArray[Any] = column.to_numpy()
    return values


def _digest(header: Mapping[str, Any], columns: Columns) -> str:
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name, values in columns.items():
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()


def _month_start(year: int, month: int) -> int:
    return int(dt.datetime(year, month, 1, tzinfo=dt.UTC).timestamp()) * 1000
