"""`--strategy FILE.py:Name`: a user's own Backtrader strategy, whose parameters become searchable settings."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import backtrader as bt

from scorenet import ConfigError
from scorenet.base.did_you_mean import did_you_mean
from strategies import ScoreStrategy

from ..plugins import load_plugin, plugin_module

__all__ = ["OwnStrategy"]

_GIVEN = ("model", "trade_from")
"""Parameters that the study sets; they cannot be searched."""


@dataclass(frozen=True)
class OwnStrategy:
    """A strategy class by its file and name, so that a worker process can load it again."""

    file: Path
    name: str

    @classmethod
    def parse(cls, text: str) -> OwnStrategy:
        """Read `FILE.py:Name` and load the class.

        Raises:
            ConfigError: the text has another form, the file cannot be run, or it has no such strategy.
        """
        file, colon, name = text.rpartition(":")
        if not colon or not file.endswith(".py") or not name.isidentifier():
            raise ConfigError(f"--strategy: expected FILE.py:Name, found {text!r}")
        found = cls(Path(file).resolve(), name)
        found.load()
        return found

    def load(self) -> type[bt.Strategy]:
        """Return the class; its file is run once per process.

        Raises:
            ConfigError: the file cannot be run, or it has no such strategy.
        """
        load_plugin(self.file, option="--strategy")
        content = vars(sys.modules[plugin_module(self.file)])
        found = content.get(self.name)
        if isinstance(found, type) and issubclass(found, bt.Strategy):
            return found
        names = [
            name
            for name, item in content.items()
            if isinstance(item, type) and issubclass(item, bt.Strategy) and item is not bt.Strategy
        ]
        hint = did_you_mean(self.name, names) or f"; it has {', '.join(names) or 'none'}"
        raise ConfigError(
            f"--strategy: expected a Backtrader strategy in {self.file.name}, found {self.name!r}{hint}"
        )

    @property
    def parameters(self) -> dict[str, Any]:
        """Return the parameters that can be set, with their defaults."""
        return {name: value for name, value in self._all().items() if name not in _GIVEN}

    @property
    def takes(self) -> tuple[str, ...]:
        """Return which of `model` and `trade_from` are parameters of the strategy."""
        known = self._all()
        return tuple(name for name in _GIVEN if name in known)

    @property
    def decides_as_ours(self) -> bool:
        """Return whether it is a `ScoreStrategy`, whose rules are validated before the search."""
        return issubclass(self.load(), ScoreStrategy)

    def _all(self) -> dict[str, Any]:
        return dict(self.load().params._getitems())
