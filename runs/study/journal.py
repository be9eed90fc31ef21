"""The journal of a study: a header and one sealed line per trial, appended as it ends; the table is made of it.

A line has the trial's number, settings, metrics, status, reason and, for the trials that the statistics compare, its
daily returns. Nothing but the place of each line stays in memory.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from scorenet.base.sealed import BrokenLine, record_of, seal, sealed_lines

from ..folder.errors import CorruptJournal, UnwritableRun
from ..folder.jsonfile import plain
from .outcome import Outcome, Settings

__all__ = ["FILE", "Journal", "Row"]

FILE = "trials.journal"

Row = dict[str, Any]
"""A line of the journal: number, params, metrics, status, reason, early and, for some, returns."""


class Journal:
    """The open journal of one study; one process writes it.

    Attributes:
        path: its file.
        header: what the first line says about the study.
    """

    def __init__(self, path: Path, header: Mapping[str, Any], out: BinaryIO) -> None:
        self.path, self.header = path, dict(header)
        self._out = out
        self._crc = 0
        self._places: dict[int, tuple[int, int]] = {}

    @classmethod
    def create(cls, path: Path, header: Mapping[str, Any]) -> Self:
        """Start a journal; its first line is `header`.

        Raises:
            UnwritableRun: the file exists or cannot be written.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            journal = cls(path, plain(header), path.open("xb"))
        except OSError as error:
            raise UnwritableRun(
                f"cannot write {path}: {error.strerror or error}; choose another --out"
            ) from error
        journal._append(journal.header)
        return journal

    @classmethod
    def reopen(cls, path: Path) -> Self:
        """Open a journal to go on; a last line that a kill has cut is removed.

        Raises:
            CorruptJournal: a line is damaged, or there is no header.
            UnwritableRun: the file cannot be opened for writing.
        """
        header, places, end, crc = _scan(path)
        try:
            out = path.open("r+b")
            out.truncate(end)
            out.seek(end)
        except OSError as error:
            raise UnwritableRun(f"cannot write {path}: {error.strerror or error}") from error
        journal = cls(path, header, out)
        journal._crc, journal._places = crc, places
        return journal

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, number: object) -> bool:
        return number in self._places

    def add(self, number: int, settings: Settings, outcome: Outcome, *, with_returns: bool) -> Row:
        """Append the line of a trial that has ended and return it as `row` will.

        Raises:
            UnwritableRun: the disk is full or the file cannot be written.
        """
        row = {
            "number": number,
            "params": dict(settings),
            "metrics": dict(outcome.metrics),
            "status": outcome.status,
            "reason": outcome.reason,
            "early": list(outcome.early),
            "returns": _packed(outcome.returns) if with_returns and len(outcome.returns) else None,
        }
        start = self._out.tell()
        row = dict(plain(row))
        self._append(row)
        self._places[number] = (start, self._out.tell())
        return row

    def row(self, number: int) -> Row:
        """Return the line of a trial."""
        start, end = self._places[number]
        with self.path.open("rb") as lines:
            lines.seek(start)
            line = lines.read(end - start)
        # The running checksum was verified when the journal was opened, or the line was written by this process.
        found = record_of(line[: line.rindex(b',"crc":"')] + b"}")
        if found is None:
            raise CorruptJournal(
                f"{self.path}: the line of trial {number} is damaged; start the study in another --out"
            )
        return found

    def rows(self) -> Iterator[Row]:
        """Yield the lines in order of their trials' numbers, one at a time."""
        for number in sorted(self._places):
            yield self.row(number)

    def close(self) -> None:
        """Close the file."""
        self._out.close()

    def _append(self, record: Mapping[str, Any]) -> None:
        line, self._crc = seal(record, self._crc)
        try:
            self._out.write(line)
            self._out.flush()
        except OSError as error:
            raise UnwritableRun(
                f"cannot write {self.path}: {error.strerror or error}; free the disk"
            ) from error


def returns_of(row: Row) -> NDArray[np.float32] | None:
    """Return the daily returns [D] of a line, None if it has none."""
    text = row.get("returns")
    return None if text is None else np.frombuffer(base64.b64decode(text), dtype="<f4")


def _packed(returns: NDArray[np.float64]) -> str:
    return base64.b64encode(returns.astype("<f4").tobytes()).decode("ascii")


def _scan(path: Path) -> tuple[dict[str, Any], dict[int, tuple[int, int]], int, int]:
    """Return the header, the place of each trial's line, and the end and checksum of the last complete line."""
    header: dict[str, Any] | None = None
    places: dict[int, tuple[int, int]] = {}
    end = crc = 0
    try:
        for stop, crc, text in sealed_lines(path):  # noqa: B007 - the last ones are returned
            record = record_of(text)
            if record is None:
                raise BrokenLine(f"expected a record, found {text[:40]!r}")
            if header is None:
                header = record
            else:
                places[int(record["number"])] = (end, stop)
            end = stop
    except (BrokenLine, KeyError, TypeError, OSError) as error:
        raise CorruptJournal.of(path, error) from error
    if header is None or "study" not in header:
        raise CorruptJournal.of(path, ValueError("its first line does not describe a study"))
    return header, places, end, crc


def exists(folder: Path) -> bool:
    """Return whether a folder holds a journal of a study."""
    return os.path.lexists(folder / FILE)
