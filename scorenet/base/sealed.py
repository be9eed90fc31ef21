"""Lines of JSON with a running checksum: a line that is changed, lost or at another place is recognised.

Reading takes no lock and changes nothing, so a process may read a file that another one writes.
"""

from __future__ import annotations

import json
import os
import stat
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

__all__ = ["BrokenLine", "record_of", "seal", "sealed_lines", "sealed_text", "unfinished", "unseal"]

_BEFORE, _AFTER = b',"crc":"', b'"}\n'
_TAIL = len(_BEFORE) + 8 + len(_AFTER)
_LONGEST = 64 << 20  # bytes of a line; more is no record, and must not fill the memory


class BrokenLine(ValueError):
    """Report a complete line that was not sealed after the one before it; the text says which."""


def seal(record: Mapping[str, Any], previous: int) -> tuple[bytes, int]:
    """Return a record as one line, and the CRC-32 of its text, continued from the checksum `previous`.

    Raises:
        ValueError, TypeError: the record holds what JSON cannot hold.
    """
    text = json.dumps(record, allow_nan=False, separators=(",", ":")).encode()
    crc = zlib.crc32(text, previous)
    return text[:-1] + _BEFORE + b"%08x" % crc + _AFTER, crc


def sealed_text(line: bytes, previous: int) -> tuple[bytes, int] | None:
    """Return the JSON text of a line and its checksum; None if the line is incomplete, changed or at another place."""
    tail = line[-_TAIL:]
    if len(tail) < _TAIL or not (tail.startswith(_BEFORE) and tail.endswith(_AFTER)):
        return None
    text = line[:-_TAIL] + b"}"
    crc = zlib.crc32(text, previous)
    return (text, crc) if tail[len(_BEFORE) : -len(_AFTER)] == b"%08x" % crc else None


def record_of(text: bytes) -> dict[str, Any] | None:
    """Return the JSON object of a text; None if it is something else (NaN and Infinity are not JSON)."""
    try:
        record = json.loads(text.decode(), parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def unseal(line: bytes, previous: int) -> tuple[dict[str, Any], int] | None:
    """Return the record of a line and its checksum; None if the line is incomplete, changed or at another place."""
    found = sealed_text(line, previous)
    record = None if found is None else record_of(found[0])
    return None if found is None or record is None else (record, found[1])


def sealed_lines(path: Path) -> Iterator[tuple[int, int, bytes]]:
    """Yield (offset of its end, checksum, JSON text) for each line; a last line without newline is no error.

    Raises:
        BrokenLine: a complete line does not fit.
        OSError: the file is missing, is not a regular file, or cannot be read.
    """
    end = crc = 0
    # Without O_NONBLOCK, opening a pipe would wait for a writer.
    flags = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_NONBLOCK", "O_CLOEXEC", "O_BINARY"))
    with os.fdopen(os.open(path, flags), "rb") as lines:
        if not stat.S_ISREG(os.fstat(lines.fileno()).st_mode):
            raise OSError("expected a regular file, found a device, a pipe or a folder")
        number = 0
        while line := lines.readline(_LONGEST):
            number += 1
            found = sealed_text(line, crc)
            if found is None:
                if line.endswith(b"\n") or len(line) == _LONGEST:
                    raise BrokenLine(
                        f"line {number}: expected a record sealed after the one before, found {line[:40]!r}"
                    )
                return
            text, crc = found
            end += len(line)
            yield end, crc, text


def unfinished(path: Path, end: int, previous: int) -> tuple[bytes, tuple[dict[str, Any], int] | None]:
    """Return the bytes after the last complete line, which ends at `end` with the checksum `previous`.

    If only the newline is missing or changed, return the whole line, with its record and checksum: the record counts.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as lines:
        lines.seek(end)
        rest = lines.read(_LONGEST)
    whole = rest[: rest.rfind(b"}") + 1] + b"\n"
    found = unseal(whole, previous) if len(rest) - len(whole) in (-1, 0) else None
    return (rest, None) if found is None else (whole, found)


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is not JSON")
