"""What a parquet file unpacks to, known before it is unpacked: a dictionary page makes a short file of long columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..caps import TooLarge, check_cells, check_columns, check_rows
from .pages import check_pages

__all__ = ["UNREADABLE", "check_parquet"]

UNREADABLE = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    MemoryError,
    RecursionError,
    pa.ArrowException,
)
"""What pyarrow and pandas raise for damaged files; some notes of pandas in them are used without a check."""

_LONGEST = 64  # bytes of a number of fixed length: decimals have 16


def check_parquet(source: Path | bytes) -> None:
    """Check the size of a parquet file, its texts included, as it will be in memory.

    Raises:
        TooLarge: it is larger than a table of bars can be.
        OSError, ValueError, pyarrow.ArrowException: it cannot be read.
    """
    content = source.read_bytes() if isinstance(source, Path) else source
    footer = pq.read_metadata(pa.BufferReader(content))
    check_columns(footer.num_columns)
    check_rows(footer.num_rows)
    check_cells(footer.num_rows, footer.num_columns)
    texts = []
    for field in footer.schema.to_arrow_schema():
        if pa.types.is_nested(field.type):
            raise TooLarge(
                f"column {field.name!r} holds {field.type}, which no column of bars does; leave it out"
            )
    for column in map(footer.schema.column, range(footer.num_columns)):
        if column.physical_type == "FIXED_LEN_BYTE_ARRAY" and column.length > _LONGEST:
            raise TooLarge(f"column {column.path!r} has {column.length:,} bytes a row, which no number has")
        if column.physical_type == "BYTE_ARRAY":
            texts.append(column.path)
    check_pages(content, footer.num_columns)
    if texts and footer.num_rows:
        _check_texts(content, texts, footer)


def _check_texts(content: bytes, texts: list[str], footer: Any) -> None:
    # As dictionaries, each text is in memory once, however many rows have it.
    with pq.ParquetFile(pa.BufferReader(content), read_dictionary=texts) as file:
        for name in texts:
            unpacked = 0
            for batch in file.iter_batches(columns=[name], use_threads=False):
                column = batch.column(0)
                words = column.dictionary if isinstance(column, pa.DictionaryArray) else column
                longest = pc.max(pc.binary_length(words.cast(pa.large_binary()))).as_py() or 0
                unpacked += longest * len(column)
            check_cells(footer.num_rows, footer.num_columns, unpacked)
