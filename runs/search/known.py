"""Which settings a search may change, and where each belongs: the strategy, the account or the model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from scorenet import ConfigError, ModelConfig
from scorenet.base.did_you_mean import did_you_mean

from ..backtest import check_params, strategy_defaults
from ..settings import Account

__all__ = ["LEVELS", "KnownSettings"]

LEVELS = ("strategy", "account", "model")
"""A change of the first two reuses a trained model; a change of the third trains another."""

Check = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True)
class KnownSettings:
    """The settings by level, each with its default.

    Attributes:
        defaults: level -> name -> default value.
        checks: level -> function that raises ConfigError for values [a subset of the level's settings] that are
            impossible together with the defaults of the others.
    """

    defaults: Mapping[str, Mapping[str, Any]]
    checks: Mapping[str, Check]

    @classmethod
    def of(cls, own_strategy: Mapping[str, Any] | None = None) -> KnownSettings:
        """Return the settings of `ScoreStrategy`, or of the user's own strategy by its parameters and defaults."""
        ours = strategy_defaults()
        strategy = ours if own_strategy is None else dict(own_strategy)
        defaults = {
            "strategy": strategy,
            "account": {item.name: getattr(Account(), item.name) for item in fields(Account)},
            "model": dict(_leaves(ModelConfig().to_dict())),
        }
        checks: dict[str, Check] = {
            # Only the strategy itself knows what its parameters may be.
            "strategy": (lambda values: check_params(ours | dict(values)))
            if own_strategy is None
            else _anything,
            "account": lambda values: _discard(Account.from_dict(values)),
            "model": lambda values: _discard(ModelConfig().with_values(**values)),
        }
        return cls(defaults, checks)

    def find(self, name: str) -> tuple[str, str]:
        """Return the level and the bare name of a setting; `strategy.`, `account.` and `model.` may precede the name.

        Raises:
            ConfigError: no setting has the name; the message suggests the nearest.
        """
        for level in LEVELS:
            bare = name.removeprefix(f"{level}.")
            if bare in self.defaults[level] and (bare == name or name.startswith(f"{level}.")):
                return level, bare
        hint = did_you_mean(name, [known for level in LEVELS for known in self.defaults[level]])
        raise ConfigError(
            f"expected a setting of the strategy, the account or the model, found {name!r}{hint}"
        )

    @staticmethod
    def flat(values: Mapping[str, Any]) -> dict[str, Any]:
        """Return nested tables of model settings under their dotted names."""
        return dict(_leaves(values))

    def default(self, name: str) -> Any:
        """Return the default of a setting by its bare name."""
        level, bare = self.find(name)
        return self.defaults[level][bare]

    def by_level(self, params: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Return level -> name -> value for the values of one trial."""
        levels: dict[str, dict[str, Any]] = {level: {} for level in LEVELS}
        for name, value in params.items():
            levels[self.find(name)[0]][name] = value
        return levels

    def check(self, params: Mapping[str, Any]) -> None:
        """Check the values of one trial, with the defaults for all others.

        Raises:
            ConfigError: a value is impossible; the message names the setting.
        """
        for level, values in self.by_level(params).items():
            if values:
                self.checks[level](values)


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _anything(values: Mapping[str, Any]) -> None:
    """Accept all values."""


def _discard(built: object) -> None:
    """Drop what was built only to be checked."""
