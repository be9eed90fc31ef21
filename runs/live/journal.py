"""The journal of a live run: a file of JSON lines with a running checksum.

A record is on disk before anything depends on it. A last line that a crash cut short is removed on opening. Damage
anywhere else is an error.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from feeds.store.locks import file_lock
from scorenet.base.files import sync_folder

from ..folder.jsonfile import parse_json, plain
from ..folder.rundir import RunDirError, UnwritableRun

__all__ = ["JOURNAL", "CorruptJournal", "Journal", "open_journal", "seal", "unseal"]

JOURNAL = "journal.jsonl"
_SEAL = re.compile(rb',"crc":"([0-9a-f]{8})"\}\n\Z')


class CorruptJournal(RunDirError):
    """Report a journal that is damaged before its last line, or that was not written by a live run."""


def seal(record: Mapping[str, Any], previous: int) -> tuple[bytes, int]:
    """Return a record as one line, and the CRC-32 of its text, continued from the checksum `previous`."""
    text = json.dumps(plain(record), allow_nan=False, separators=(",", ":")).encode()
    crc = zlib.crc32(text, previous)
    return text[:-1] + b',"crc":"%08x"}\n' % crc, crc


def unseal(line: bytes, previous: int) -> tuple[dict[str, Any], int] | None:
    """Return the record of a line and its checksum; None if the line is incomplete, changed or at the wrong place."""
    found = _SEAL.search(line)
    if found is None:
        return None
    text = line[: found.start()] + b"}"
    crc = zlib.crc32(text, previous)
    if int(found.group(1), 16) != crc:
        return None
    record = parse_json(text.decode())
    return (record, crc) if isinstance(record, dict) else None


class Journal:
    """Append records and read them back. `open_journal` makes it and holds the folder's lock.

    Attributes:
        path: the file.
        torn: bytes of an incomplete last line that were removed on opening.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._crc = 0
        self._count = 0
        self._size = 0
        for end, crc, _ in _scan(path):
            self._size, self._crc, self._count = end, crc, self._count + 1
        self.torn = path.stat().st_size - self._size if path.exists() else 0
        new = not path.exists()
        with _writing(path):
            self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
            os.ftruncate(self._handle, self._size)
            os.lseek(self._handle, self._size, os.SEEK_SET)
            os.fsync(self._handle)
        if new:
            sync_folder(path.parent)

    def __len__(self) -> int:
        return self._count

    def records(self, *kinds: str) -> Iterator[dict[str, Any]]:
        """Yield the records of the given kinds (default: all) that the file holds when the iteration starts."""
        end = self._size
        for place, _, record in _scan(self.path):
            if place > end:
                return
            if not kinds or record["kind"] in kinds:
                yield record

    def append(self, kind: str, **content: Any) -> dict[str, Any]:
        """Write one record to disk and return it as it will be read back. The key `n` counts records from 0.

        Raises:
            UnwritableRun: the disk is full or missing; the journal then still ends with the previous record.
        """
        line, crc = seal({"n": self._count, "kind": kind, **content}, self._crc)
        with _writing(self.path):
            try:
                done = 0
                while done < len(line):
                    done += os.write(self._handle, line[done:])
                os.fsync(self._handle)
            except OSError:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._handle, self._size)
                    os.lseek(self._handle, self._size, os.SEEK_SET)
                raise
        previous = self._crc
        self._crc, self._count, self._size = crc, self._count + 1, self._size + len(line)
        written = unseal(line, previous)
        return {} if written is None else written[0]

    def close(self) -> None:
        """Close the file."""
        os.close(self._handle)


@contextlib.contextmanager
def open_journal(folder: Path) -> Iterator[Journal]:
    """Open the journal of a run folder for the length of the block; create it if absent. One process at a time.

    Raises:
        CorruptJournal: the file is damaged before its last line.
        StoreError: another process runs in this folder.
        UnwritableRun: the folder cannot be written.
    """
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with file_lock(folder / ".live.lock", timeout=0.0):
        journal = Journal(folder / JOURNAL)
        try:
            yield journal
        finally:
            journal.close()


def _scan(path: Path) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """Yield (end of line, checksum, record) for each complete line; an incomplete last line is not an error."""
    if not path.exists():
        return
    end = crc = 0
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            found = unseal(line, crc)
            if found is None:
                if lines.read(1):
                    raise CorruptJournal(
                        f"{path}, line {number}: expected a record sealed after the one before, found "
                        f"{line[:40]!r}; restore the file from a copy, or start a new run in another --out"
                    )
                return
            record, crc = found
            end += len(line)
            yield end, crc, record


@contextlib.contextmanager
def _writing(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise UnwritableRun(
            f"cannot write {target}: {reason}; choose another --out or free the disk"
        ) from error
