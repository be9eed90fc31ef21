"""Errors about run folders, apart from the code that raises them: a short command imports them without pandas.

RunDirError
├── RunDirMissing     a run folder, or a file in it, does not exist
├── NotARunDir        the path holds something else
├── CorruptRun        a file of a run folder is invalid
├── CorruptJournal    the journal of a live run is invalid, or was replaced
└── UnwritableRun     a folder cannot be written
"""

from __future__ import annotations

from pathlib import Path
from typing import Self

__all__ = ["CorruptJournal", "CorruptRun", "NotARunDir", "RunDirError", "RunDirMissing", "UnwritableRun"]


class RunDirError(Exception):
    """Base class: a run folder cannot be written or read."""


class RunDirMissing(RunDirError):
    """A run folder, or a file in it, does not exist."""


class NotARunDir(RunDirError):
    """The path holds something other than a run."""


class CorruptRun(RunDirError):
    """A file of a run folder is invalid."""


class CorruptJournal(RunDirError):
    """Report a journal that is damaged, was replaced while it was open, or was not written by a live run."""

    @classmethod
    def of(cls, path: Path, error: Exception) -> Self:
        """Return the error for a record of `path` that `error` describes."""
        return cls(f"{path}, {error}; restore the file from a copy, or start a new run in another --out")


class UnwritableRun(RunDirError):
    """A folder cannot be written, or the disk is full."""
