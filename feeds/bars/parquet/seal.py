"""A checksum of a bar file's columns and notes: pages have their own, but a changed column name would lose a column."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

__all__ = ["NOTES", "check_seal", "sealed"]

NOTES = b"PANDAS_ATTRS"
"""The key under which pandas itself stores attrs."""

_SEAL = b"scorenet"


def sealed(table: Any, notes: Mapping[Any, Any]) -> Any:
    """Return an Arrow table with `notes`, which pandas reads as attrs, and a checksum of all its notes and columns."""
    content = {**(table.schema.metadata or {}), NOTES: json.dumps(dict(notes)).encode()}
    table = table.replace_schema_metadata(content)
    return table.replace_schema_metadata({**content, _SEAL: _seal(table.schema)})


def check_seal(schema: Any) -> None:
    """Check that a table that `sealed` has made still has its columns and notes; other tables pass.

    Raises:
        ValueError: it has not.
    """
    seal = (schema.metadata or {}).get(_SEAL)
    if seal is not None and seal != _seal(schema):
        names = ", ".join(schema.names)
        raise ValueError(
            f"its columns {names} or the notes on them have changed since it was written; a program that changes them "
            "on purpose must leave out the note 'scorenet'"
        )


def _seal(schema: Any) -> bytes:
    digest = hashlib.sha256("\n".join(map(str, schema)).encode())
    for key, value in sorted((schema.metadata or {}).items()):
        if key != _SEAL:
            digest.update(b"%d %s %d %s" % (len(key), key, len(value), value))
    return digest.hexdigest().encode()
