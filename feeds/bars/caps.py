"""Caps on the size of a bar file, checked before it is read: a small file can unpack to more than the memory holds."""

from __future__ import annotations

import os
import re

from ..errors import StoreError

__all__ = [
    "MAX_ROWS_VARIABLE",
    "TooLarge",
    "check_cells",
    "check_columns",
    "check_first_line",
    "check_rows",
    "most_rows",
]

MAX_ROWS_VARIABLE = "SCORENET_MAX_ROWS"
"""Environment variable that raises or lowers the number of rows that a bar file may have."""

_MAX_ROWS = 20_000_000  # 38 years of minutes
_MAX_COLUMNS = 200  # a bar has 8
_USUAL_COLUMNS = 20  # of a file with the most rows
_BYTES_A_CELL, _FEW_CELLS = 64, 1 << 20
_MAX_HEADER = 64 << 10


class TooLarge(StoreError):
    """Report a file that is larger than bars can be."""


def check_cells(rows: int, columns: int, unpacked: int = 0) -> None:
    """Check how many cells a table has, and how many bytes it or one of its columns unpacks to.

    Raises:
        TooLarge: it is more than bars can have.
    """
    most = _USUAL_COLUMNS * most_rows()
    if rows * columns > most:
        raise TooLarge(
            f"expected at most {most:,} cells, found {rows:,} rows of {columns} columns; leave out columns, or set "
            f"{MAX_ROWS_VARIABLE} to read more"
        )
    if unpacked > _BYTES_A_CELL * max(rows * columns, _FEW_CELLS):
        raise TooLarge(f"{rows:,} rows unpack to {unpacked:,} bytes, which bars never do; replace it")


def check_first_line(line: bytes) -> None:
    """Check the length of a text file's first line.

    Raises:
        TooLarge: it is longer than a header of bars can be.
    """
    if len(line) > _MAX_HEADER:
        raise TooLarge(f"its first line has more than {_MAX_HEADER:,} bytes; it is not a bar file")


def check_rows(rows: int) -> None:
    """Check a number of rows.

    Raises:
        TooLarge: there are more than a table of bars may have.
    """
    most = most_rows()
    if rows > most:
        raise TooLarge(
            f"expected at most {most:,} rows, found {rows:,}; set {MAX_ROWS_VARIABLE} to read more"
        )


def check_columns(columns: int) -> None:
    """Check a number of columns.

    Raises:
        TooLarge: there are more than a table of bars can have.
    """
    if columns > _MAX_COLUMNS:
        raise TooLarge(f"expected at most {_MAX_COLUMNS} columns, found {columns:,}; it is not a bar file")


def most_rows() -> int:
    """Return how many rows a bar file may have."""
    text = os.environ.get(MAX_ROWS_VARIABLE, "")
    if not text:
        return _MAX_ROWS
    if not re.fullmatch("[0-9]{1,15}", text) or int(text) == 0:
        raise StoreError(f"{MAX_ROWS_VARIABLE}: expected a number of rows, found {text!r}")
    return int(text)
