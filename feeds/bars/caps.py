"""Caps on the size of a bar file, checked before it is read: a small file can unpack to more than the memory holds."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from ..errors import StoreError

__all__ = ["MAX_ROWS_VARIABLE", "TooLarge", "check_footer", "check_header", "check_rows"]

MAX_ROWS_VARIABLE = "SCORENET_MAX_ROWS"
"""Environment variable that raises or lowers the number of rows that a bar file may have."""

_MAX_ROWS = 20_000_000  # 38 years of minutes
_MAX_COLUMNS = 200  # a bar has 8
_BYTES_A_CELL, _FEW_CELLS = 64, 1 << 20
_MAX_HEADER = 64 << 10


class TooLarge(StoreError):
    """Report a file that is larger than bars can be."""


def check_footer(footer: Any) -> None:
    """Check rows, columns and unpacked bytes of a parquet file from its footer (`pyarrow.parquet.FileMetaData`).

    Raises:
        TooLarge: there are more than a table of bars can have.
    """
    _check_columns(footer.num_columns)
    check_rows(footer.num_rows)
    unpacked = sum(footer.row_group(index).total_byte_size for index in range(footer.num_row_groups))
    if unpacked > _BYTES_A_CELL * max(footer.num_rows * footer.num_columns, _FEW_CELLS):
        raise TooLarge(
            f"{footer.num_rows:,} rows unpack to {unpacked:,} bytes, which bars never do; replace it"
        )


def check_header(path: Path) -> int:
    """Check the columns of a CSV file by its first line, and return how many rows it may have.

    Raises:
        TooLarge: there are more columns than bars can have.
        OSError: the file cannot be read.
    """
    with path.open("rb") as handle:
        line = handle.readline(_MAX_HEADER + 1)
    if len(line) > _MAX_HEADER:
        raise TooLarge(f"its first line has more than {_MAX_HEADER:,} bytes; it is not a bar file")
    _check_columns(line.count(b",") + 1)
    return _max_rows()


def check_rows(rows: int) -> None:
    """Check a number of rows.

    Raises:
        TooLarge: there are more than a table of bars may have.
    """
    most = _max_rows()
    if rows > most:
        raise TooLarge(
            f"expected at most {most:,} rows, found {rows:,}; set {MAX_ROWS_VARIABLE} to read more"
        )


def _check_columns(columns: int) -> None:
    if columns > _MAX_COLUMNS:
        raise TooLarge(f"expected at most {_MAX_COLUMNS} columns, found {columns:,}; it is not a bar file")


def _max_rows() -> int:
    text = os.environ.get(MAX_ROWS_VARIABLE, "")
    if not text:
        return _MAX_ROWS
    if not re.fullmatch("[0-9]{1,15}", text) or int(text) == 0:
        raise StoreError(f"{MAX_ROWS_VARIABLE}: expected a number of rows, found {text!r}")
    return int(text)
