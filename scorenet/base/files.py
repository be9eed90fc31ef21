"""Atomic files and folders: after a crash, each is completely the old version or completely the new one.

All functions raise OSError; callers translate it into their own error messages.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = [
    "atomic_path",
    "remove_leftovers",
    "replace_folder",
    "restore_folder",
    "sync_folder",
    "write_bytes",
    "write_text",
]

_TEMPORARY = ".tmp"


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a temporary path next to `target`. It replaces `target` if the block succeeds and is deleted otherwise.

    Raises:
        OSError: the folder is not writable or the disk is full; `target` is unchanged.
    """
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}{_TEMPORARY}")
    try:
        yield temporary
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
    shutil.rmtree(previous, ignore_errors=True)
    replaced = final.exists()
    if replaced:
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
    """Restore a folder that a killed process had moved aside in `replace_folder`."""
    if final.name and not final.exists() and _previous(final).is_dir():
        _previous(final).rename(final)


def _previous(final: Path) -> Path:
    return final.with_name(f".{final.name}.previous")
