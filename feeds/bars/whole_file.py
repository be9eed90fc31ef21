"""Write files atomically, with the data layer's error type."""

from pathlib import Path

from scorenet.base.files import write_bytes

from ..errors import StoreError

__all__ = ["write_whole"]


def write_whole(path: Path, content: bytes) -> None:
    """Replace `path` by `content`: after a crash at any point the file is the old one or the new one.

    Raises:
        StoreError: the file cannot be written; the old one is unchanged and no temporary file remains.
    """
    try:
        write_bytes(path, content)
    except OSError as error:
        reason = error.strerror or error
        raise StoreError(
            f"cannot write {path}: {reason}; what was stored before is intact. Make room or move the store"
        ) from error
