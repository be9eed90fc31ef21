"""Feather files (Arrow IPC): rows and unpacked bytes are counted before a byte is unpacked.

References:
    Apache Arrow columnar format, "IPC file format" and Message.fbs: the fields that are read here.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from ...errors import StoreError
from ..caps import TooLarge, check_columns, check_rows

__all__ = ["read_feather"]

_MAGIC = b"ARROW1\0\0"
_BYTES_A_CELL, _FEW_CELLS = 64, 1 << 20
_HEADER, _LENGTH, _BUFFERS, _COMPRESSION = 2, 0, 2, 3  # fields of Message and RecordBatch
_RAW = -1  # the stated length of a buffer that is not compressed


def read_feather(path: Path) -> pd.DataFrame:
    """Return the table of a feather file (version 2).

    Raises:
        TooLarge: it holds more rows, columns or bytes than bars can have.
        StoreError: it is of feather's first version.
        ValueError, OSError, pa.ArrowException: it is damaged.
    """
    content = path.read_bytes()
    if content[:4] == b"FEA1":
        raise StoreError(f"{path} is of feather's first version; write it again as parquet or feather")
    if content[:8] != _MAGIC:
        raise ValueError("it does not begin as a feather file does")
    # Read as a stream: the footer, which a stream has not, could name other batches than those that are counted.
    buffer = pa.py_buffer(content).slice(len(_MAGIC))
    # No thread pool: a process that is forked later would lose its threads.
    reader = pa.ipc.open_stream(buffer, options=pa.ipc.IpcReadOptions(use_threads=False))
    check_columns(len(reader.schema))
    rows, unpacked = _sizes(buffer)
    check_rows(rows)
    if unpacked > _BYTES_A_CELL * max(rows * len(reader.schema), _FEW_CELLS):
        raise TooLarge(f"{rows:,} rows unpack to {unpacked:,} bytes, which bars never do; replace it")
    frame: pd.DataFrame = reader.read_all().to_pandas(use_threads=False)
    return frame


def _sizes(buffer: Any) -> tuple[int, int]:
    """Return the rows of all record batches and the bytes of their buffers when unpacked."""
    rows = unpacked = 0
    for message in pa.ipc.MessageReader.open_stream(buffer):
        if message.type == "record batch":
            length, size = _batch(memoryview(message.metadata).tobytes(), memoryview(message.body).tobytes())
            rows, unpacked = rows + length, unpacked + size
        elif message.type == "dictionary":
            raise ValueError("it holds dictionary-encoded columns, which bars have not")
    return rows, unpacked


def _batch(metadata: bytes, body: bytes) -> tuple[int, int]:
    try:
        (root,) = struct.unpack_from("<I", metadata)
        header = _pointer(metadata, _field(metadata, root, _HEADER))
        at = _field(metadata, header, _LENGTH)
        rows = struct.unpack_from("<q", metadata, at)[0] if at else 0
        packed = bool(_field(metadata, header, _COMPRESSION))
        vector = _pointer(metadata, _field(metadata, header, _BUFFERS))
        (count,) = struct.unpack_from("<I", metadata, vector)
        unpacked = 0
        for index in range(count):
            start, length = struct.unpack_from("<qq", metadata, vector + 4 + 16 * index)
            stated = struct.unpack_from("<q", body, start)[0] if packed and length else _RAW
            unpacked += length if stated == _RAW else stated
    except struct.error as error:
        raise ValueError("its record batches are damaged") from error
    if rows < 0 or unpacked < 0:
        raise ValueError("its record batches state negative sizes")
    return int(rows), int(unpacked)


def _field(data: bytes, table: int, index: int) -> int:
    """Return where a field of a flatbuffer table lies, 0 if it is absent."""
    (offset,) = struct.unpack_from("<i", data, table)
    vtable = table - offset
    (size,) = struct.unpack_from("<H", data, vtable)
    slot = 4 + 2 * index
    if slot + 2 > size:
        return 0
    (found,) = struct.unpack_from("<H", data, vtable + slot)
    return table + found if found else 0


def _pointer(data: bytes, at: int) -> int:
    if not at:
        raise struct.error("an absent field")
    return int(at + struct.unpack_from("<I", data, at)[0])
