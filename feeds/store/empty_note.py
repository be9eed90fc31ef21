"""The note of a series' folder: ranges without rows, so that they are not requested again."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from ..bars.ranges import Range, merge
from ..bars.whole_file import write_whole
from ..errors import StoreError
from .keys import SeriesKey

__all__ = ["add_empty", "read_empty"]

_NOTE = "series.json"


def read_empty(folder: Path, key: SeriesKey) -> list[Range]:
    """Return the ranges recorded as empty.

    A damaged record, or that of another series, is ignored, because it only saves requests.

    Raises:
        StoreError: the note cannot be read.
    """
    try:
        note = json.loads((folder / _NOTE).read_text("utf-8"))
        # Those of earlier versions do not name their series.
        signed = [note["series"], note["empty"]] if "series" in note else note["empty"]
        if note["sha256"] != _digest(signed) or note.get("series", _name(key)) != _name(key):
            return []
        return merge((int(start), int(end)) for start, end in note["empty"])
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreError(f"cannot read {folder / _NOTE}: {error.strerror or error}") from error
    except (ValueError, TypeError, KeyError, RecursionError):
        return []


def add_empty(folder: Path, key: SeriesKey, added: Range) -> None:
    """Record that a series has no rows in the range `added`.

    Raises:
        StoreError: the note cannot be read or written.
    """
    empty = [list(span) for span in merge([*read_empty(folder, key), added])]
    series = _name(key)
    note = {"series": series, "empty": empty, "sha256": _digest([series, empty])}
    write_whole(folder / _NOTE, (json.dumps(note) + "\n").encode())


def _name(key: SeriesKey) -> str:
    return f"{key.exchange} {key.symbol} {key.kind}"


def _digest(signed: list[Any]) -> str:
    return hashlib.sha256(json.dumps(signed).encode()).hexdigest()
