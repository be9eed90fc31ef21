"""What the pages of a parquet file say about themselves, compared with its footer.

References:
    Apache Parquet format, parquet.thrift (FileMetaData, PageHeader).
"""

from __future__ import annotations

from collections.abc import Iterator

from ..caps import TooLarge, check_cells
from .thrift import I32, I64, LIST, STRUCT, Struct, read_struct

__all__ = ["check_pages"]

_LONGEST_FOOTER = 8 << 20
_MAGIC = b"PAR1"
# Fields by number and kind, of FileMetaData, RowGroup, ColumnChunk, ColumnMetaData, PageHeader and the headers in it.
_FILE_ROWS, _GROUPS = (3, I64), (4, LIST)
_COLUMNS, _GROUP_BYTES, _GROUP_ROWS = (1, LIST), (2, I64), (3, I64)
_META = (3, STRUCT)
_COLUMN_VALUES, _COLUMN_BYTES = (5, I64), (7, I64)
_DATA_OFFSET, _DICTIONARY_OFFSET = (9, I64), (11, I64)
_UNPACKED, _PACKED, _DATA, _PAGE_VALUES = (2, I32), (3, I32), ((5, STRUCT), (8, STRUCT)), (1, I32)


def check_pages(content: bytes, columns: int) -> None:
    """Check what the pages of a parquet file of plain columns unpack to by their own headers: a footer can state less.

    The reader takes memory as a page's header, a row group and a column of it say, before it unpacks anything.
    `columns` is how many its schema has.

    Raises:
        TooLarge: it is more than bars can have.
        ValueError: rows, values and pages do not fit each other, or the file.
    """
    footer = _footer(content)
    rows, groups = footer[_FILE_ROWS], footer.structs(_GROUPS)
    if sum(group[_GROUP_ROWS] for group in groups) != rows:
        raise ValueError("its footer states two numbers of rows")
    check_cells(rows, columns, sum(group[_GROUP_BYTES] for group in groups))
    unpacked = 0
    for group in groups:
        chunks = group.structs(_COLUMNS)
        if len(chunks) != columns:
            raise ValueError(f"its footer states {len(chunks)} of {columns} columns")
        if not group[_GROUP_ROWS]:
            continue  # without a page
        for chunk in chunks:
            for size in _pages(content, chunk[_META], group[_GROUP_ROWS]):
                unpacked += size
                check_cells(rows, columns, unpacked)


def _footer(content: bytes) -> Struct:
    length = int.from_bytes(content[-8:-4], "little")
    if content[-4:] != _MAGIC or length + 8 > len(content):
        raise ValueError("it has no footer")
    if length > _LONGEST_FOOTER:
        raise TooLarge(f"its footer has {length:,} bytes, which a bar file's never has")
    return read_struct(content, len(content) - 8 - length)[0]


def _pages(content: bytes, column: Struct, rows: int) -> Iterator[int]:
    """Yield to how many bytes each page of a column unpacks; its pages must have `rows` values."""
    if column[_COLUMN_VALUES] != rows:
        raise ValueError(f"its footer states {column[_COLUMN_VALUES]:,} values of {rows:,} rows")
    at = column[_DATA_OFFSET]
    if 0 < column.get(_DICTIONARY_OFFSET, 0) < at:
        at = column[_DICTIONARY_OFFSET]
    end = at + column[_COLUMN_BYTES]
    if not 0 < at <= end <= len(content):
        raise ValueError("its footer states pages outside the file")
    values = 0
    while at < end:
        unpacked, packed, held, at = _page(content, at)
        at, values = at + packed, values + held
        yield unpacked
    if values != rows:
        raise ValueError(f"its pages have {values:,} values of {rows:,} rows")


def _page(content: bytes, at: int) -> tuple[int, int, int, int]:
    """Return a page's unpacked and packed size (bytes) and number of values by its header, and where it begins."""
    header, at = read_struct(content, at)
    values = sum(header[kind][_PAGE_VALUES] for kind in _DATA if kind in header)
    unpacked, packed = header[_UNPACKED], header[_PACKED]
    if min(unpacked, packed, values) < 0:
        raise ValueError("a page header is damaged")
    return unpacked, packed, values, at
