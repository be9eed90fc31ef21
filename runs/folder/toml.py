"""Read TOML, and write settings as TOML: None is left out, paths become text."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import tomli_w

__all__ = ["dumps", "loads"]

_MARK = "\ufeff"  # with which Windows' editors begin a file
_DEEPEST = 20  # levels; settings have two


def loads(text: str) -> dict[str, Any]:
    """Return the tables of a TOML text.

    Raises:
        ValueError: the text is not TOML, nests more than 20 levels, or holds a number that no float64 can hold.
    """
    try:
        found = tomllib.loads(text.removeprefix(_MARK))
    except RecursionError as error:
        raise ValueError(f"more than {_DEEPEST} levels of tables and arrays") from error
    level: list[Any] = [found]
    for _ in range(_DEEPEST):
        level = [item for value in level for item in _items(value)]
    if level:
        raise ValueError(f"more than {_DEEPEST} levels of tables and arrays")
    return found


def _items(value: Any) -> list[Any]:
    if isinstance(value, int) and abs(value) > sys.float_info.max:
        raise ValueError("an integer with more than 308 digits")
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


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
