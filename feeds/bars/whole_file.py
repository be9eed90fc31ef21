"""Write files atomically, with the data layer's error type."""

from pathlib import Path

from scorenet.base.files import write_bytes

from ..errors import StoreError

__all__ = ["write_whole"]


def write_whole(path: Path, content: bytes) -> None:
    """Replace `path` by `content` atomically: after a crash at any point the file has the old or the new content.

    Raises:
        StoreError: the file cannot be written; the old one is unchanged and no temporary file remains.
    """
    try:
        write_bytes(path, content)
    except OSError as error:
        reason = error.strerror or error
        raise StoreError(
            f"cannot write {path}: {reason}; data stored before is intact. Free disk space or use another folder"
        ) from error
