"""The journal of a study: a header and one sealed line per trial, appended as it ends; the table is made of it.

A line has the trial's number, settings, metrics, status, reason and daily returns (float32, in base64). Nothing but the
place of each line stays in memory.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from scorenet.base.locks import LockHeld, lock_handle
from scorenet.base.sealed import BrokenLine, record_of, seal, sealed_lines

from ..folder.errors import CorruptJournal, RunDirError, UnwritableRun
from ..folder.jsonfile import plain
from .outcome import Outcome, Row, Settings, check_row, finite_or_none, packed, returns_of

__all__ = ["FILE", "Journal", "Row", "exists", "returns_of"]

FILE = "trials.journal"

_SCALARS = frozenset({bool, int, float, str, type(None)})  # finite ones: settings are checked
_MOST_OPEN = 1_000_000  # trials that may have begun and have no line yet
_BEGIN = b'{"study":'


class _Places:
    """Where the line of each trial begins and ends, in 16 bytes a trial."""

    def __init__(self) -> None:
        self.count = 0
        self._starts, self._ends = array("q"), array("q")

    def set(self, number: int, start: int, end: int) -> None:
        """Note the line of a trial."""
        missing = number + 1 - len(self._starts)
        for places in (self._starts, self._ends) if missing > 0 else ():
            places.extend([-1] * missing)
        self.count += self._starts[number] < 0
        self._starts[number], self._ends[number] = start, end

    def get(self, number: int) -> tuple[int, int] | None:
        """Return the line of a trial, None if it has none."""
        if not 0 <= number < len(self._starts) or self._starts[number] < 0:
            return None
        return self._starts[number], self._ends[number]

    def numbers(self) -> Iterator[int]:
        """Yield the numbers of the trials that have a line, in order."""
        return (number for number, start in enumerate(self._starts) if start >= 0)


class Journal:
    """The journal of one study. One process writes it: the file is open and locked from `hold` or `add` to `close`.

    Attributes:
        path: its file.
        header: what the first line says about the study; empty if a kill came before that line was complete.
    """

    def __init__(self, path: Path, header: Mapping[str, Any]) -> None:
        self.path, self.header = path, dict(header)
        self._handle: int | None = None
        self._end = self._crc = 0
        self._places = _Places()

    @classmethod
    def create(cls, path: Path, header: Mapping[str, Any]) -> Self:
        """Start a journal; its first line is `header`.

        Raises:
            UnwritableRun: the file exists or cannot be written.
        """
        journal = cls(path, plain(header))
        with journal._writing("choose another --out"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.open("xb").close()
        try:
            journal.hold()
        finally:
            journal.close()
        return journal

    @classmethod
    def reopen(cls, path: Path) -> Self:
        """Return a journal to go on with; a last line that a kill has cut is removed by `hold`.

        Raises:
            CorruptJournal: a line is damaged, or there is no header.
        """
        header, places, end, crc = _scan(path)
        journal = cls(path, header)
        journal._end, journal._crc, journal._places = end, crc, places
        return journal

    def hold(self) -> None:
        """Open and lock the file until `close`, so that no other process can write it; do nothing if it is open.

        Raises:
            UnwritableRun: another process has it, or has written to it since it was read here.
            CorruptJournal: the file was deleted or replaced.
        """
        if self._handle is not None:
            return
        flags = os.O_RDWR | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
        with self._writing():
            self._handle = os.open(self.path, flags)
            try:
                self._take(self._handle)
            except BaseException:
                self.close()
                raise

    def _take(self, handle: int) -> None:
        lock_handle(handle, self.path)
        self._check_place(handle)
        os.lseek(handle, self._end, os.SEEK_SET)
        # Only what a kill has cut may follow: a complete line is a trial of another process.
        while piece := os.read(handle, 1 << 20):
            if b"\n" in piece:
                raise UnwritableRun(
                    f"another process has gone on with the study in {self.path.parent} since this one has read it; "
                    "start this command again"
                )
        os.ftruncate(handle, self._end)
        os.lseek(handle, self._end, os.SEEK_SET)
        if not self._end:
            self._append(self.header)

    def discard(self) -> None:
        """Remove the file of a study that has no trial, unless another process has it or has written to it."""
        with suppress(RunDirError, OSError):
            self.hold()
            self.path.unlink()
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __len__(self) -> int:
        return self._places.count

    def __contains__(self, number: object) -> bool:
        return isinstance(number, int) and self._places.get(number) is not None

    def add(self, number: int, settings: Settings, outcome: Outcome) -> Row:
        """Append the line of a trial that has ended and return it as `row` will.

        Raises:
            UnwritableRun: the disk is full or the file cannot be written.
        """
        row = {
            "number": number,
            "params": {name: v if type(v) in _SCALARS else plain(v) for name, v in settings.items()},
            "metrics": {name: finite_or_none(value) for name, value in outcome.metrics.items()},
            "status": outcome.status,
            "reason": outcome.reason,
            "early": list(map(float, outcome.early)),
            "returns": packed(outcome.returns) if len(outcome.returns) else None,
        }
        self.hold()
        start = self._end
        self._append(row)
        self._places.set(number, start, self._end)
        return row

    def row(self, number: int) -> Row:
        """Return the line of a trial.

        Raises:
            CorruptJournal: the file was damaged, deleted or replaced since it was read.
        """
        with self._reading() as lines:
            return self._read(number, lines)

    def rows(self) -> Iterator[Row]:
        """Yield the lines in order of their trials' numbers, one at a time; raises as `row`."""
        with self._reading() as lines:
            for number in self._places.numbers():
                yield self._read(number, lines)

    def _reading(self) -> BinaryIO:
        try:
            return self.path.open("rb")
        except OSError as error:
            raise CorruptJournal.of(self.path, error) from error

    def _read(self, number: int, lines: BinaryIO) -> Row:
        start, end = self._places.get(number) or (0, 0)
        lines.seek(start)
        line = lines.read(end - start)
        # The running checksum was verified when the journal was opened, or the line was written by this process.
        found = record_of(line[: max(line.rfind(b',"crc":"'), 0)] + b"}")
        if found is None or found.get("number") != number:
            raise CorruptJournal(f"{self.path}: the line of trial {number} is damaged; choose another --out")
        return found

    def close(self) -> None:
        """Close the file; the next `add` opens it again."""
        handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)

    def _append(self, record: Mapping[str, Any]) -> None:
        handle = self._handle
        assert handle is not None  # noqa: S101 - both callers hold the file
        self._check_place(handle)
        (line, crc), done = seal(record, self._crc), 0
        with self._writing():
            try:
                while done < len(line):
                    done += os.write(handle, line[done:])
            except OSError:
                with suppress(OSError):  # the part of the line that a full disk has taken
                    os.ftruncate(handle, self._end)
                    os.lseek(handle, self._end, os.SEEK_SET)
                raise
        self._crc, self._end = crc, self._end + len(line)

    def _check_place(self, handle: int) -> None:
        try:
            there = os.path.samestat(os.fstat(handle), self.path.stat())
        except FileNotFoundError:
            there = False
        if not there:
            raise CorruptJournal(
                f"{self.path} was deleted or replaced while it is written; choose another --out"
            )

    @contextmanager
    def _writing(self, advice: str = "free the disk") -> Iterator[None]:
        try:
            yield
        except LockHeld as error:
            raise UnwritableRun(
                f"another process is running the study in {self.path.parent}; wait for its end, or choose another --out"
            ) from error
        except OSError as error:
            raise UnwritableRun(f"cannot write {self.path}: {error.strerror or error}; {advice}") from error


def _scan(path: Path) -> tuple[dict[str, Any], _Places, int, int]:
    """Return the header, the place of each trial's line, and the end and checksum of the last complete line."""
    header: dict[str, Any] | None = None
    places = _Places()
    end = crc = 0
    try:
        for line, (stop, crc, text) in enumerate(sealed_lines(path), 1):  # noqa: B007 - the last ones are returned
            record = record_of(text)
            if record is None:
                raise BrokenLine(f"line {line}: expected a record, found {text[:40]!r}")
            if header is None:
                header = record
            else:
                places.set(_number(record, line, places), end, stop)
            end = stop
        if header is None and _is_unbegun(path):
            return {}, places, 0, 0
    except (BrokenLine, OSError) as error:
        raise CorruptJournal.of(path, error) from error
    if header is None or not isinstance(header.get("study"), dict):
        raise CorruptJournal.of(path, ValueError("its first line does not describe a study"))
    return header, places, end, crc


def _number(row: Row, line: int, places: _Places) -> int:
    """Return the number of a line's trial, after a check that it is one of a study."""
    problem = check_row(row)
    if problem:
        raise BrokenLine(f"line {line}: {problem}")
    number = int(row["number"])
    if places.get(number) is not None:
        raise BrokenLine(f"line {line}: expected each trial once, found trial {number} again")
    if number > places.count + _MOST_OPEN:
        raise BrokenLine(f"line {line}: number: expected the number of a trial, found {number}")
    return number


def _is_unbegun(path: Path) -> bool:
    """Return whether a kill, a full disk or a power failure came before the first line was complete."""
    with path.open("rb") as lines:
        begin = lines.readline(1 << 20)
    known = begin.startswith(_BEGIN) or _BEGIN.startswith(begin) or not begin.strip(b"\0")
    return known and not begin.endswith(b"\n")


def exists(folder: Path) -> bool:
    """Return whether a folder holds a journal of a study."""
    return os.path.lexists(folder / FILE)
