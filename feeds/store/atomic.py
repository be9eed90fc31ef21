"""Files that are whole or absent: written beside their place, synced, moved into it."""

import os
import secrets
from pathlib import Path

from ..errors import StoreError

__all__ = ["TEMPORARY", "remove_leftovers", "write_atomic"]

TEMPORARY = ".tmp"


def write_atomic(path: Path, content: bytes) -> None:
    """Replace `path` by `content`: after a crash at any point the file is the old one or the new one.

    Raises:
        StoreError: the file cannot be written; the old one is untouched and no temporary is left.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}{TEMPORARY}")
    try:
        try:
            _write_synced(temporary, content)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)
    except OSError as error:
        reason = error.strerror or error
        raise StoreError(
            f"cannot write {path}: {reason}; what was stored before is intact. Make room or move the store"
        ) from error


def remove_leftovers(folder: Path) -> None:
    """Delete what a killed writer left in `folder`; call it only while holding the folder's lock."""
    for leftover in folder.glob(f".*{TEMPORARY}"):
        leftover.unlink(missing_ok=True)


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # Windows cannot open a folder, and its replace is journalled
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
