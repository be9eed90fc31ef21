"""Atomic files and folders: after a crash, each is completely the old version or completely the new one.

All functions raise OSError; callers translate it into their own error messages.
"""

from __future__ import annotations

import errno
import glob
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from .locks import LockHeld, try_lock

__all__ = [
    "FileTooLarge",
    "atomic_path",
    "make_private",
    "read_regular",
    "remove_leftovers",
    "replace_folder",
    "restore_folder",
    "staging_folder",
    "sync_folder",
    "write_bytes",
    "write_text",
]

_TEMPORARY, _PARTIAL = ".tmp", ".partial"


class FileTooLarge(OSError):
    """Report a file with more bytes than a reader accepts; the text holds its size."""


def read_regular(path: Path, most: int) -> bytes:
    """Return the content of a regular file of at most `most` bytes. A link, a device or a pipe is not followed.

    Raises:
        FileTooLarge: the file has more bytes; none is read.
        OSError: the file is missing, is not a regular file, or cannot be read.
    """
    if path.is_symlink():
        raise OSError(errno.ELOOP, "expected a regular file, found a link; copy the file in its place")
    # Without O_NONBLOCK, opening a pipe would wait for a writer.
    extra = ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY")  # those that the system has
    flags = os.O_RDONLY | sum(getattr(os, name, 0) for name in extra)
    with os.fdopen(os.open(path, flags), "rb") as handle:
        found = os.fstat(handle.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "expected a regular file, found a device, a pipe or a folder")
        content = handle.read(most + 1) if found.st_size <= most else b""
        if found.st_size > most or len(content) > most:
            raise FileTooLarge(f"{max(found.st_size, len(content)):,} bytes")
        return content


def make_private(path: Path) -> None:
    """Take away the access of other users to a file or a folder, whatever the umask was when it was made."""
    path.chmod(stat.S_IMODE(path.stat().st_mode) & 0o700)


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a temporary path next to `target`. It replaces `target` if the block succeeds and is deleted otherwise.

    The new file is as private as its folder: nobody whom the folder keeps out may read it, wherever it is moved.

    Raises:
        OSError: the folder is not writable or the disk is full; `target` is unchanged.
    """
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}{_TEMPORARY}")
    try:
        yield temporary
        _narrow(temporary)
        with temporary.open("rb+") as handle:
            os.fsync(handle.fileno())
        temporary.replace(target)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    sync_folder(target.parent)


def write_bytes(target: Path, content: bytes) -> None:
    """Replace the content of `target` atomically.

    Raises:
        OSError: the folder is not writable or the disk is full; `target` is unchanged.
    """
    with atomic_path(target) as temporary:
        temporary.write_bytes(content)


def write_text(target: Path, text: str) -> None:
    """Write UTF-8 text atomically; characters that UTF-8 cannot encode become question marks.

    Raises:
        OSError: the folder is not writable or the disk is full; `target` is unchanged.
    """
    write_bytes(target, text.encode("utf-8", errors="replace"))


def remove_leftovers(folder: Path) -> None:
    """Delete the temporary files of a killed writer; call it only while holding the folder's lock."""
    for leftover in folder.glob(f".*{_TEMPORARY}"):
        leftover.unlink(missing_ok=True)


@contextmanager
def staging_folder(final: Path) -> Iterator[Path]:
    """Yield a new folder next to `final`, for `replace_folder`; it is deleted at the end if it is still there.

    Parents are made. Folders that killed processes have left for the same `final` are deleted first: the lock on such
    a folder ends with its owner.

    Raises:
        OSError: the folder cannot be made.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    for leftover in _partials(final):
        with suppress(OSError), try_lock(leftover):
            shutil.rmtree(leftover, ignore_errors=True)
    with ExitStack() as stack:
        staging = _locked_folder(final, stack)
        stack.callback(shutil.rmtree, staging, ignore_errors=True)
        yield staging


def _locked_folder(final: Path, stack: ExitStack) -> Path:
    while True:
        staging = final.with_name(f".{final.name}.{secrets.token_hex(4)}{_PARTIAL}")
        staging.mkdir()
        try:
            stack.enter_context(try_lock(staging))
        except (LockHeld, FileNotFoundError):
            continue  # another run took it for a leftover, in the moment before it was locked
        except OSError:
            return staging  # a file system without locks: there, leftovers stay
        if staging.is_dir():
            return staging


def _narrow(path: Path) -> None:
    with suppress(OSError):  # file systems without permissions
        own, folder = (stat.S_IMODE(place.stat().st_mode) for place in (path, path.parent))
        if own & ~folder & 0o077:
            path.chmod(own & (folder | 0o700))


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to disk, so that a rename in it survives a power failure."""
    if os.name == "nt":  # Windows cannot open a folder, and its file system journals a replace
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def replace_folder(staging: Path, final: Path) -> None:
    """Rename the finished folder `staging` to `final`; an earlier `final` is restored if that fails.

    Raises:
        OSError: a folder cannot be renamed.
    """
    previous = _previous(final)
    replaced = final.exists()
    if replaced:
        shutil.rmtree(previous, ignore_errors=True)
        final.rename(previous)
    try:
        staging.rename(final)
    except BaseException:
        if replaced:
            previous.rename(final)
        raise
    sync_folder(final.parent)
    shutil.rmtree(previous, ignore_errors=True)


def restore_folder(final: Path) -> None:
    """Restore a folder that a killed process had moved aside in `replace_folder`.

    Raises:
        OSError: it cannot be renamed.
    """
    if not final.name or final.exists() or not _previous(final).is_dir():
        return
    if not any(map(_is_held, _partials(final))):  # a writer that lives is about to rename its own
        _previous(final).rename(final)


def _partials(final: Path) -> Iterator[Path]:
    return final.parent.glob(f".{glob.escape(final.name)}.*{_PARTIAL}")


def _is_held(folder: Path) -> bool:
    try:
        with try_lock(folder):
            return False
    except LockHeld:
        return True
    except OSError:
        return False


def _previous(final: Path) -> Path:
    return final.with_name(f".{final.name}.previous")
