"""A lock between processes on one file; the operating system releases it when its owner ends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

try:
    import fcntl
except ImportError:  # Windows: only `file_lock` is available
    fcntl = None  # type: ignore[assignment]

__all__ = ["LockHeld", "file_lock", "lock_handle", "try_lock"]

_POLL_SECONDS = 0.05


class LockHeld(OSError):
    """Report a lock that another process holds; `owner` is its process id, or "unknown"."""

    def __init__(self, path: Path, owner: str) -> None:
        super().__init__(f"{path} is held by process {owner}")
        self.owner = owner


@contextmanager
def file_lock(path: Path, timeout: float) -> Iterator[None]:
    """Hold an exclusive lock on `path` (created if absent, never removed) for the length of the block.

    The file holds the owner's process id, for error messages only: a file left by a dead process does not lock.

    Raises:
        LockHeld: another process still held the lock after `timeout` seconds.
        OSError: the file cannot be opened or written.
    """
    lock = FileLock(path, timeout=timeout, mode=0o644, is_singleton=False)
    try:
        lock.acquire(poll_interval=_POLL_SECONDS)
    except Timeout as error:
        raise LockHeld(path, _owner(path)) from error
    try:
        path.write_text(f"{os.getpid()}\n")
        yield
    finally:
        lock.release()


def lock_handle(handle: int, path: Path) -> None:
    """Lock an open file or folder itself, until the handle is closed or its process ends. On Windows this does nothing.

    No other file can be deleted to get around this lock.

    Raises:
        LockHeld: another process holds it.
        OSError: the file system has no locks.
    """
    if fcntl is None:
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise LockHeld(path, "unknown") from error


@contextmanager
def try_lock(path: Path) -> Iterator[None]:
    """Hold the lock of an existing file or folder itself for the length of the block.

    Raises:
        LockHeld: another process holds it.
        OSError: the path cannot be opened.
    """
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    try:
        lock_handle(handle, path)
        yield
    finally:
        os.close(handle)


def _owner(path: Path) -> str:
    with suppress(OSError):
        return path.read_text("ascii", "replace").strip() or "unknown"
    return "unknown"
