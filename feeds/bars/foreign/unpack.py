"""The bytes of a .gz or .zip file, with caps: a small archive can unpack to more than the memory holds."""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from pathlib import Path
from typing import IO

from ...errors import StoreError
from ..caps import TooLarge

__all__ = ["inner_name", "unpack"]

_RATIO = 100  # text of bars packs to a third, to a thirtieth where nothing is traded
_FEW_BYTES = 1 << 20
_MOST_BYTES = 4 << 30
_PIECE = 1 << 20
_READ = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
# APPNOTE.TXT 4.4.5: methods that other programs use.
_METHODS = {6: "implode", 9: "deflate64", 93: "zstandard", 94: "mp3", 95: "xz", 98: "ppmd"}


def inner_name(path: Path) -> str:
    """Return the file name without the archive's ending: `X_1h.csv.gz` and `X_1h.zip` hold `X_1h.csv`."""
    lower = path.name.lower()
    for ending in (".gz", ".zip"):
        if lower.endswith(ending):
            name = path.name[: -len(ending)]
            return name if name.lower().endswith((".csv", ".txt", ".tsv")) else f"{name}.csv"
    return path.name


def unpack(path: Path) -> io.BytesIO:
    """Return the content of a .gz file, or of the one text file in a .zip file.

    Raises:
        TooLarge: it unpacks to far more than text of bars does.
        StoreError: the archive is damaged, encrypted, or holds something else than one text file.
        OSError: the file cannot be read.
    """
    try:
        if path.name.lower().endswith(".zip"):
            return _unzip(path)
        with gzip.open(path) as stream:
            return _read(stream, path.stat().st_size)
    except (zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise StoreError(f"cannot read {path}: the archive is damaged ({error}); replace it") from error


def _unzip(path: Path) -> io.BytesIO:
    with zipfile.ZipFile(path) as archive:
        members = [
            member
            for member in archive.infolist()
            if not member.is_dir() and not member.filename.startswith("__MACOSX/")
        ]
        if len(members) != 1:
            shown = ", ".join(member.filename for member in members[:3]) or "none"
            raise StoreError(f"{path}: expected one file in the archive, found {len(members)} ({shown})")
        member = members[0]
        if "/" in member.filename or "\\" in member.filename or member.filename.startswith("."):
            raise StoreError(
                f"{path}: expected a plain file name in the archive, found {member.filename!r}; unpack it first"
            )
        if not member.filename.lower().endswith((".csv", ".txt", ".tsv")):
            raise StoreError(
                f"{path}: expected a .csv file in the archive, found {member.filename!r}; unpack it first"
            )
        if member.flag_bits & 1:
            raise StoreError(f"{path}: {member.filename!r} in it is encrypted; unpack it first")
        if member.compress_type not in _READ:
            number = member.compress_type
            named = f"{_METHODS[number]} (method {number})" if number in _METHODS else f"method {number}"
            raise StoreError(
                f"{path}: {member.filename!r} in it is compressed by {named}, which is not read; unpack it first"
            )
        with archive.open(member) as stream:
            return _read(stream, path.stat().st_size)


def _read(stream: IO[bytes] | gzip.GzipFile, packed: int) -> io.BytesIO:
    most = min(_MOST_BYTES, max(_FEW_BYTES, _RATIO * packed))
    content = io.BytesIO()
    while piece := stream.read(_PIECE):
        content.write(piece)
        if content.tell() > most:
            raise TooLarge(f"{packed:,} bytes unpack to more than {most:,}, which bars never do; replace it")
    content.seek(0)
    return content
