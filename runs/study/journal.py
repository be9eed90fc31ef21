"""The journal of a study: a header and one sealed line per trial, appended as it ends; the table is made of it.

A line has the trial's number, settings, metrics, status, reason and daily returns (float32, in base64). Nothing but the
place of each line stays in memory.
"""

from __future__ import annotations

import base64
import os
from array import array
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from scorenet.base.locks import LockHeld, lock_handle
from scorenet.base.sealed import BrokenLine, record_of, seal, sealed_lines

from ..folder.errors import CorruptJournal, UnwritableRun
from ..folder.jsonfile import plain
from .outcome import Outcome, Settings, finite_or_none

__all__ = ["FILE", "Journal", "Row"]

FILE = "trials.journal"

_SCALARS = frozenset({bool, int, float, str, type(None)})  # finite ones: settings are checked

Row = dict[str, Any]
"""A line of the journal: number, params, metrics, status, reason, early, returns."""


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
    """The journal of one study; one process writes it, and its file is open only between the first `add` and `close`.

    Attributes:
        path: its file.
        header: what the first line says about the study.
    """

    def __init__(self, path: Path, header: Mapping[str, Any]) -> None:
        self.path, self.header = path, dict(header)
        self._out: BinaryIO | None = None
        self._end = self._crc = 0
        self._places = _Places()

    @classmethod
    def create(cls, path: Path, header: Mapping[str, Any]) -> Self:
        """Start a journal; its first line is `header`.

        Raises:
            UnwritableRun: the file exists or cannot be written.
        """
        journal = cls(path, plain(header))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.open("xb").close()
        except OSError as error:
            raise UnwritableRun(
                f"cannot write {path}: {error.strerror or error}; choose another --out"
            ) from error
        journal._append(journal.header)
        journal.close()
        return journal

    @classmethod
    def reopen(cls, path: Path) -> Self:
        """Return a journal to go on with; a last line that a kill has cut is removed at the next `add`.

        Raises:
            CorruptJournal: a line is damaged, or there is no header.
        """
        header, places, end, crc = _scan(path)
        journal = cls(path, header)
        journal._end, journal._crc, journal._places = end, crc, places
        return journal

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
            "returns": _packed(outcome.returns) if len(outcome.returns) else None,
        }
        start = self._end
        self._append(row)
        self._places.set(number, start, self._end)
        return row

    def row(self, number: int) -> Row:
        """Return the line of a trial."""
        with self.path.open("rb") as lines:
            return self._read(number, lines)

    def rows(self) -> Iterator[Row]:
        """Yield the lines in order of their trials' numbers, one at a time."""
        with self.path.open("rb") as lines:
            for number in self._places.numbers():
                yield self._read(number, lines)

    def _read(self, number: int, lines: BinaryIO) -> Row:
        start, end = self._places.get(number) or (0, 0)
        lines.seek(start)
        line = lines.read(end - start)
        # The running checksum was verified when the journal was opened, or the line was written by this process.
        found = record_of(line[: line.rindex(b',"crc":"')] + b"}")
        if found is None or found.get("number") != number:
            raise CorruptJournal(f"{self.path}: the line of trial {number} is damaged; choose another --out")
        return found

    def close(self) -> None:
        """Close the file; the next `add` opens it again."""
        if self._out is not None:
            self._out.close()
            self._out = None

    def _append(self, record: Mapping[str, Any]) -> None:
        line, crc = seal(record, self._crc)
        try:
            out = self._out = self._out or self._opened()
            out.write(line)
            out.flush()
        except LockHeld as error:
            raise UnwritableRun(
                f"another process is running the study in {self.path.parent}; wait for its end, or choose another --out"
            ) from error
        except OSError as error:
            raise UnwritableRun(
                f"cannot write {self.path}: {error.strerror or error}; free the disk"
            ) from error
        self._crc, self._end = crc, self._end + len(line)

    def _opened(self) -> BinaryIO:
        out = self.path.open("r+b")
        try:
            lock_handle(out.fileno(), self.path)
            out.truncate(self._end)
            out.seek(self._end)
        except OSError:
            out.close()
            raise
        return out


def returns_of(row: Row) -> NDArray[np.float32] | None:
    """Return the daily returns [D] of a line, None if it has none."""
    text = row.get("returns")
    return None if text is None else np.frombuffer(base64.b64decode(text), dtype="<f4")


def _packed(returns: NDArray[np.float64]) -> str:
    return base64.b64encode(returns.astype("<f4").tobytes()).decode("ascii")


def _scan(path: Path) -> tuple[dict[str, Any], _Places, int, int]:
    """Return the header, the place of each trial's line, and the end and checksum of the last complete line."""
    header: dict[str, Any] | None = None
    places = _Places()
    end = crc = 0
    try:
        for stop, crc, text in sealed_lines(path):  # noqa: B007 - the last ones are returned
            record = record_of(text)
            if record is None:
                raise BrokenLine(f"expected a record, found {text[:40]!r}")
            if header is None:
                header = record
            else:
                places.set(int(record["number"]), end, stop)
            end = stop
    except (BrokenLine, KeyError, TypeError, OSError) as error:
        raise CorruptJournal.of(path, error) from error
    if header is None or "study" not in header:
        raise CorruptJournal.of(path, ValueError("its first line does not describe a study"))
    return header, places, end, crc


def exists(folder: Path) -> bool:
    """Return whether a folder holds a journal of a study."""
    return os.path.lexists(folder / FILE)
