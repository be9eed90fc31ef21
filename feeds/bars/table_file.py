"""Read the table of a bar file in any format that is known: parquet, feather, CSV, and CSV in .gz or .zip."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from scorenet.base.error_line import error_line

from ..errors import BadBars, BadSource, MissingData, StoreError
from .caps import TooLarge
from .cells import COLUMNS
from .foreign.columns import Chosen
from .foreign.feather import read_feather
from .foreign.hints import Hints
from .foreign.reading import Reading, explained, from_frame, from_text
from .foreign.table import read_table
from .parquet import NOTES, UNREADABLE, check_parquet, check_seal

__all__ = ["EXTENSIONS", "read_bar_table", "read_series_table"]

EXTENSIONS = (".parquet", ".csv", ".feather", ".txt", ".tsv", ".csv.gz", ".txt.gz", ".tsv.gz", ".zip")
"""The endings of files that are read."""

# Errors that readers raise for a damaged file.
_UNREADABLE = (*UNREADABLE, csv.Error)
_NUMBERS = Chosen(names={}, fix="timestamp=1,open=2,high=3,low=4,close=5,volume=6")


def read_bar_table(path: Path, symbol: str | None, hints: Hints) -> tuple[pd.DataFrame, Reading]:
    """Return a file's table with the contract's names, numbers and times, and how it was read.

    Raises:
        BadSource: the file's ending is unknown.
        MissingData: there is no such file.
        StoreError: the file is empty, damaged, too large or cannot be read.
        BadBars: its columns, numbers or times are not clear; the message has the command that says them.
    """
    _check(path)
    try:
        if path.suffix.lower() in (".parquet", ".feather"):
            typed = _parquet(path) if path.suffix.lower() == ".parquet" else read_feather(path)
            return from_frame(typed, path, symbol, hints)
        numbered = bool(hints.columns) and all(own.isdecimal() for own in hints.columns.values())
        return from_text(read_table(path, numbered), path, symbol, hints)
    except BadBars as error:
        if error.reason == "headerless":
            raise explained(error, _NUMBERS, path, symbol) from error
        raise
    except TooLarge as error:
        raise StoreError(f"cannot read {path}: {error}") from error
    except _UNREADABLE as error:
        raise _damaged(path, error) from error


def read_series_table(path: Path) -> pd.DataFrame:
    """Return the table of a parquet file of another series than bars, as it is.

    Raises:
        MissingData, StoreError: as `read_bar_table`.
    """
    _check(path)
    try:
        frame = _parquet(path)
    except TooLarge as error:
        raise StoreError(f"cannot read {path}: {error}") from error
    except _UNREADABLE as error:
        raise _damaged(path, error) from error
    return frame.reset_index() if frame.index.name in COLUMNS else frame


def _check(path: Path) -> None:
    if not path.name.lower().endswith(EXTENSIONS):
        others = ", ".join(EXTENSIONS[2:])
        raise BadSource(
            f"expected a bar file ending in .parquet or .csv, found {str(path)!r}; read are also {others}"
        )
    if path.is_dir():
        raise BadSource(f"expected a bar file, found the folder {path}")
    if not path.exists():
        raise MissingData(f"there is no file {path}{_others(path)}")
    try:
        empty = path.stat().st_size == 0
    except OSError as error:
        raise _damaged(path, error) from error
    if empty:
        raise StoreError(f"{path} is empty (0 bytes); write or download it again")


def _parquet(path: Path) -> pd.DataFrame:
    # Arrow's thread pools do not survive a fork, and a forked process may then abort at exit. A script that reads bars
    # and then optimises does fork. Reading from memory without threads starts no thread pool.
    content = path.read_bytes()
    check_parquet(content)
    file = pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True)
    table = file.read(use_threads=False)
    check_seal(table.schema)
    frame: pd.DataFrame = table.to_pandas(use_threads=False)
    notes = json.loads((table.schema.metadata or {}).get(NOTES, b"{}"))
    if not isinstance(notes, dict):
        raise ValueError(f"its notes are {type(notes).__name__}, not names and values")
    # Notes of other programs under the same names can be of any kind; those of bars are texts.
    frame.attrs = {key: value for key, value in notes.items() if isinstance(value, str)}
    return frame


def _damaged(path: Path, error: BaseException) -> StoreError:
    if isinstance(error, UnicodeDecodeError) and path.suffix.lower() not in (".parquet", ".feather"):
        byte = error.object[error.start]
        return StoreError(
            f"cannot read {path}: its text is not UTF-8 (byte 0x{byte:02x}); save it as UTF-8, or replace it"
        )
    return StoreError(
        f"cannot read {path}: it is damaged or not a bar file ({error_line(error)}); replace it"
    )


def _others(path: Path) -> str:
    if not path.parent.is_dir():
        return f"; there is no folder {path.parent} either"
    found = sorted(other.name for other in path.parent.iterdir() if other.name.lower().endswith(EXTENSIONS))
    beside = ("_funding", "_open_interest", "_mark_")
    bars = [name for name in found if not any(part in name for part in beside)]
    return f"; in {path.parent} there is {', '.join(bars[:8])}" if bars else ""
