"""The journal of a live run: a file of JSON lines with a running checksum.

A record is on disk before anything depends on it. On opening, a last line that a crash cut short (it has no newline) is
removed. Any other damage is an error, in the last line too: a record that was complete is never forgotten.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from feeds.store.locks import Locked, file_lock
from scorenet.base.files import make_private, remove_leftovers, sync_folder
from scorenet.base.locks import LockHeld, lock_handle
from scorenet.base.sealed import BrokenLine, record_of, seal, sealed_lines, unfinished, unseal

from ..folder.errors import CorruptJournal, UnwritableRun
from ..folder.jsonfile import plain
from ..watch.status import JOURNAL

__all__ = ["JOURNAL", "CorruptJournal", "Journal", "open_journal"]


class Journal:
    """Append records and read them back. The file is locked until `close`, and only its owner can read it.

    Attributes:
        path: the file.
        torn: bytes of an incomplete last line that were removed on opening.
        listener: receives each new record after it is on disk.

    Raises:
        CorruptJournal: the file is damaged; it is left as it was found.
        Locked: another process writes it.
        UnwritableRun: it cannot be opened or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.listener: Callable[[dict[str, Any]], None] = lambda record: None
        self._crc = 0
        self._count = 0
        self._size = 0
        new = not path.exists()
        with _writing(path):
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._lock()
            self.torn = self._read()
            with _writing(path):
                os.fsync(self._handle)
                if new:
                    sync_folder(path.parent)
        except BaseException:
            self.close()
            raise

    def _lock(self) -> None:
        try:
            with _writing(self.path):
                lock_handle(self._handle, self.path)
                make_private(self.path)
        except UnwritableRun as error:
            if isinstance(error.__cause__, LockHeld):
                raise Locked(
                    f"{self.path} is being written by another process; stop it, or choose another --out"
                ) from error
            raise

    def _read(self) -> int:
        """Find the end of the last complete record and return how many bytes of an incomplete one were removed."""
        for end, crc, _ in _scan(self.path):
            self._size, self._crc, self._count = end, crc, self._count + 1
        rest, found = unfinished(self.path, self._size, self._crc)
        with _writing(self.path):
            os.lseek(self._handle, self._size, os.SEEK_SET)
            if found is not None:
                _write_all(self._handle, rest)
                self._size, self._crc, self._count = self._size + len(rest), found[1], self._count + 1
            os.ftruncate(self._handle, self._size)
        return len(rest) if found is None else 0

    def __len__(self) -> int:
        return self._count

    def records(self, *kinds: str) -> Iterator[dict[str, Any]]:
        """Yield the records of the given kinds (default: all) that the file holds when the iteration starts."""
        end = self._size
        for place, _, record in _scan(self.path):
            if place > end:
                return
            if not kinds or record.get("kind") in kinds:
                yield record

    def append(self, kind: str, **content: Any) -> dict[str, Any]:
        """Write one record to disk and return it as it will be read back. The key `n` counts records from 0.

        Raises:
            UnwritableRun: the disk is full or missing; the journal then still ends with the previous record.
            CorruptJournal: the file was deleted or replaced since it was opened.
        """
        self._check_place()
        line, crc = seal(plain({"n": self._count, "kind": kind, **content}), self._crc)
        with _writing(self.path):
            try:
                _write_all(self._handle, line)
                os.fsync(self._handle)
            except OSError:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._handle, self._size)
                    os.lseek(self._handle, self._size, os.SEEK_SET)
                raise
        previous = self._crc
        self._crc, self._count, self._size = crc, self._count + 1, self._size + len(line)
        written = unseal(line, previous)
        record = {} if written is None else written[0]
        self.listener(record)
        return record

    def close(self) -> None:
        """Close the file; its lock ends."""
        os.close(self._handle)

    def _check_place(self) -> None:
        try:
            there = os.path.samestat(os.fstat(self._handle), self.path.stat())
        except FileNotFoundError:
            there = False
        if not there:
            raise CorruptJournal(
                f"{self.path} was deleted or replaced while this process writes it; restore the file from a copy, "
                "or start a new run in another --out"
            )


@contextlib.contextmanager
def open_journal(folder: Path, *, private: bool = False) -> Iterator[Journal]:
    """Open the journal of a run folder for the length of the block; create it if absent. One process at a time.

    With `private`, only the owner can read the folder and what is written into it later.

    Raises:
        CorruptJournal: the file is damaged.
        StoreError: another process runs in this folder.
        UnwritableRun: the folder cannot be written.
    """
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if private:
            make_private(folder)
    # This lock names its owner in the error; the journal's own lock also holds when this file is deleted.
    with file_lock(folder / ".live.lock", timeout=0.0):
        journal = Journal(folder / JOURNAL)
        with _writing(folder):
            remove_leftovers(folder)
        try:
            yield journal
        finally:
            journal.close()


def _scan(path: Path) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """Yield (end of line, checksum, record) for each line; a last line without newline is not an error."""
    if not path.exists():
        return
    try:
        for number, (end, crc, text) in enumerate(sealed_lines(path), 1):
            record = record_of(text)
            if record is None:
                raise BrokenLine(f"line {number}: expected a JSON object, found {text[:40]!r}")
            yield end, crc, record
    except BrokenLine as error:
        raise CorruptJournal.of(path, error) from error


def _write_all(handle: int, content: bytes) -> None:
    done = 0
    while done < len(content):
        done += os.write(handle, content[done:])


@contextlib.contextmanager
def _writing(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise UnwritableRun(
            f"cannot write {target}: {reason}; choose another --out or free the disk"
        ) from error
