"""A lock between processes on one file; the system drops it when its owner dies, however it dies."""

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from ..errors import StoreError

__all__ = ["Locked", "file_lock"]

_POLL_SECONDS = 0.05


class Locked(StoreError):
    """Report a lock that another owner holds."""


@contextlib.contextmanager
def file_lock(path: Path, timeout: float) -> Iterator[None]:
    """Hold an exclusive lock on `path` (created if absent, never removed) for the length of the block.

    The file names its last owner for the message alone: a leftover file of a dead owner locks nothing.

    Raises:
        StoreError: the file cannot be opened.
        Locked: another owner still held it after `timeout` seconds.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise StoreError(f"cannot open the lock {path}: {error.strerror or error}") from error
    try:
        _acquire(descriptor, path, timeout)
        try:
            _sign(descriptor, path)
            yield
        finally:
            _release(descriptor)
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, path: Path, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while not _try_lock(descriptor):
        if time.monotonic() >= deadline:
            owner = path.read_text("ascii", "replace").strip() or "unknown"
            raise Locked(
                f"{path.parent} is being written by another process (pid {owner}); waited {timeout:g} s. "
                "Let it finish, or stop it, and run the same command again"
            )
        time.sleep(_POLL_SECONDS)


def _sign(descriptor: int, path: Path) -> None:
    try:
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, f"{os.getpid()}\n".encode())
    except OSError as error:
        raise StoreError(f"cannot write the lock {path}: {error.strerror or error}") from error


if sys.platform == "win32":
    import msvcrt

    # Far beyond the owner's name: Windows locks are mandatory, and others must be able to read it.
    _LOCKED_BYTE = 1 << 20

    def _try_lock(descriptor: int) -> bool:
        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _release(descriptor: int) -> None:
        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _release(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
