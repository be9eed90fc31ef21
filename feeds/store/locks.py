"""The lock that a writer holds on a folder."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from scorenet.base import locks

from ..errors import StoreError

__all__ = ["Locked", "file_lock"]


class Locked(StoreError):
    """Another process holds the lock."""


@contextmanager
def file_lock(path: Path, timeout: float) -> Iterator[None]:
    """Hold an exclusive lock on `path` (created if absent, never removed) for the length of the block.

    Raises:
        StoreError: the file cannot be opened.
        Locked: another process still held it after `timeout` seconds.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(locks.file_lock(path, timeout))
        except locks.LockHeld as error:
            raise Locked(
                f"{path.parent} is being written by another process (pid {error.owner}); waited {timeout:g} s. "
                "Let it finish, or stop it, and run the same command again"
            ) from error
        except OSError as error:
            raise StoreError(f"cannot open the lock {path}: {error.strerror or error}") from error
        yield
