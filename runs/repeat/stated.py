"""What a run's config.toml says beside settings: model, bars, range, so that it can be given to a command again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scorenet import ConfigError

from ..settings import RUN_KEYS, read_toml

__all__ = ["check_stated", "stated"]

_TEXTS = ("command", "model", "since", "until", "gaps", "data_dir", "calendar")


def stated(path: str | Path | None) -> dict[str, Any]:
    """Return the keys of a settings file that are options of a command, none without a file.

    Raises:
        ConfigError: the file cannot be read, or a value is of the wrong type.
    """
    content = read_toml(path)
    return check_stated({key: content[key] for key in RUN_KEYS if key in content}, path)


def check_stated(found: Mapping[str, Any], path: object) -> dict[str, Any]:
    """Check the types of these keys.

    Raises:
        ConfigError: one is wrong, or the file is not that of a backtest.
    """
    for key in _TEXTS:
        if not isinstance(found.get(key, ""), str):
            raise ConfigError(f"{path}: {key}: expected a text, found {found[key]!r}")
        if "\0" in found.get(key, ""):
            raise ConfigError(f"{path}: {key}: expected a text without NUL characters, found {found[key]!r}")
    bars = found.get("bars", [])
    if not isinstance(bars, list) or not all(isinstance(source, str) for source in bars):
        raise ConfigError(f"{path}: bars: expected a list of sources, found {bars!r}")
    command = found.get("command", "backtest")
    if command != "backtest":
        raise ConfigError(
            f"{path}: expected the config.toml of a backtest, found that of {command!r}; its [account] and [strategy] "
            "can be copied into a file of their own"
        )
    return dict(found)
