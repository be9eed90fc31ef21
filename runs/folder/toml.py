"""Write settings as TOML that `tomllib` can read: None is left out, paths become text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import tomli_w

__all__ = ["dumps"]


def dumps(table: Mapping[str, object]) -> str:
    """Return a mapping as TOML text; a key whose value is None is left out, because TOML has no null.

    Raises:
        TypeError: a value has a type that TOML cannot hold.
    """
    return tomli_w.dumps(_plain(table))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {_key(key): _plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, str | PurePath):
        return _unicode(str(value))
    if isinstance(value, bytes | bytearray):
        raise TypeError("TOML cannot hold bytes")
    return value


def _key(key: object) -> str:
    if not isinstance(key, str):
        raise TypeError(f"TOML keys are strings, found {type(key).__name__} {key!r}")
    return _unicode(key)


def _unicode(text: str) -> str:
    # File names that are not UTF-8 reach Python as lone surrogates, which no TOML file may hold.
    return "".join("\ufffd" if 0xD800 <= ord(char) <= 0xDFFF else char for char in text)
