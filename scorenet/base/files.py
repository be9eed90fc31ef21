"""Files and folders that are either the old version or the new one, never half of either.

Everything here raises OSError; a caller says in its own words what could not be written and what is still intact.
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
    """Yield a temporary sibling of `target` that replaces it when the block ends, and vanishes when it fails.

    Raises:
        OSError: the folder is not writable or the disk is full; `target` is untouched.
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
    """Replace `target` by `content`: after a crash at any point the file is the old one or the new one."""
    with atomic_path(target) as temporary:
        temporary.write_bytes(content)


def write_text(target: Path, text: str) -> None:
    """Write UTF-8 text atomically; what UTF-8 cannot encode becomes a question mark."""
    write_bytes(target, text.encode("utf-8", errors="replace"))


def remove_leftovers(folder: Path) -> None:
    """Delete the temporaries of a killed writer; call it only while holding the folder's lock."""
    for leftover in folder.glob(f".*{_TEMPORARY}"):
        leftover.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Flush a folder's own entries to disk, so that a rename inside it survives a power cut."""
    if os.name == "nt":  # Windows cannot open a folder, and its replace is journalled
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def replace_folder(staging: Path, final: Path) -> None:
    """Give a finished folder its name; an earlier one moves aside first and comes back if that fails."""
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
    """Bring back a folder that a killed process had moved aside and not yet replaced."""
    if final.name and not final.exists() and _previous(final).is_dir():
        _previous(final).rename(final)


def _previous(final: Path) -> Path:
    return final.with_name(f".{final.name}.previous")
