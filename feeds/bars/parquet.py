"""What a parquet file unpacks to, known before it is unpacked: a dictionary page makes a short file of long columns.

References:
    Apache Parquet format, parquet.thrift (PageHeader); Thrift compact protocol.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from .caps import TooLarge, check_cells, check_footer

__all__ = ["check_pages", "check_parquet"]

_LONGEST = 64  # bytes of a number of fixed length: decimals have 16
_UNPACKED, _PACKED, _DATA = 2, 3, (5, 8)  # fields of PageHeader; the headers of a page of data, by version
_VALUES = 1  # field of these
# Kinds of values in Thrift's compact protocol; 0 ends a struct.
_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _STRUCT = 1, 2, 3, 4, 5, 6, 7, 8, 12
_DEEPEST = 8  # of structs in a PageHeader; those of the format have 3


def check_parquet(source: Path | bytes) -> None:
    """Check the size of a parquet file, its texts included, as it will be in memory.

    Raises:
        TooLarge: it is larger than a table of bars can be.
        OSError, ValueError, pyarrow.ArrowException: it cannot be read.
    """
    content = source.read_bytes() if isinstance(source, Path) else source
    footer = pq.read_metadata(pa.BufferReader(content))
    check_footer(footer)
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
    check_pages(content, footer)
    if texts and footer.num_rows:
        _check_texts(content, texts, footer)


def check_pages(content: bytes, footer: Any) -> None:
    """Check what the pages of a parquet file of plain columns unpack to by their own headers: a footer can state less.

    The reader takes memory as a page's header, a row group and a column of it say, before it unpacks anything.

    Raises:
        TooLarge: it is more than bars can have.
        ValueError: rows, values and pages do not fit each other, or the file.
    """
    groups = list(map(footer.row_group, range(footer.num_row_groups)))
    if sum(group.num_rows for group in groups) != footer.num_rows:
        raise ValueError("its footer states two numbers of rows")
    unpacked = 0
    for group in groups:
        if not group.num_rows:
            continue  # without a page
        for column in map(group.column, range(footer.num_columns)):
            if column.num_values != group.num_rows:
                raise ValueError(f"its footer states {column.num_values:,} values of {group.num_rows:,} rows")
            at = column.data_page_offset
            if column.has_dictionary_page and 0 < (column.dictionary_page_offset or 0) < at:
                at = column.dictionary_page_offset
            end = at + column.total_compressed_size
            if not 0 < at <= end <= len(content):
                raise ValueError(f"its footer states pages of {column.path_in_schema!r} outside the file")
            values = 0
            while at < end:
                size, packed, held, at = _page(content, at)
                at, values, unpacked = at + packed, values + held, unpacked + size
                check_cells(footer.num_rows, footer.num_columns, unpacked)
            if values != group.num_rows:
                raise ValueError(f"its pages have {values:,} values of {group.num_rows:,} rows")


def _page(content: bytes, at: int) -> tuple[int, int, int, int]:
    """Return a page's unpacked and packed size (bytes) and number of values by its header, and where it begins."""
    try:
        numbers, structs, at = _struct(content, at, _DEEPEST)
        values = 0
        for field in _DATA:
            if field in structs:
                values += _struct(content, structs[field], _DEEPEST)[0][_VALUES]
        unpacked, packed = numbers[_UNPACKED], numbers[_PACKED]
    except (IndexError, KeyError) as error:
        raise ValueError("a page header is damaged") from error
    if min(unpacked, packed, values) < 0:
        raise ValueError("a page header is damaged")
    return unpacked, packed, values, at


def _struct(content: bytes, at: int, depth: int) -> tuple[dict[int, int], dict[int, int], int]:
    """Return a struct's fields of 32 bits, where its structs begin, and where it ends."""
    numbers, structs, field = {}, {}, 0
    while kind := content[at] & 15:
        field, at = _field(content, field, at)
        if kind == _I32:
            numbers[field], at = _number(content, at)
            continue
        if kind == _STRUCT:
            structs[field] = at
        at = _skip(content, kind, at, depth)
    return numbers, structs, at + 1


def _field(content: bytes, before: int, at: int) -> tuple[int, int]:
    """Return the number of the field whose header is at `at`, and where its value begins."""
    step = content[at] >> 4
    if step:
        return before + step, at + 1
    return _number(content, at + 1)


def _number(content: bytes, at: int) -> tuple[int, int]:
    """Return a signed number and where it ends."""
    number, at = _varint(content, at)
    return (number >> 1) ^ -(number & 1), at


def _varint(content: bytes, at: int) -> tuple[int, int]:
    number = 0
    for shift in range(0, 70, 7):
        byte = content[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, at
    raise ValueError("a page header is damaged")


def _skip(content: bytes, kind: int, at: int, depth: int) -> int:
    """Return where a value of this kind ends; page headers have no lists, sets and maps."""
    if kind in (_TRUE, _FALSE):
        return at
    if kind == _BYTE:
        return at + 1
    if kind in (_I16, _I32, _I64):
        return _varint(content, at)[1]
    if kind == _DOUBLE:
        return at + 8
    if kind == _BINARY:
        length, at = _varint(content, at)
        return at + length
    if kind == _STRUCT and depth:
        return _struct(content, at, depth - 1)[2]
    raise ValueError("a page header is damaged")


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
