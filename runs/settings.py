"""Settings of a run: defaults, then a TOML file, then `--set key=value`; unknown keys are errors with a suggestion."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Self

from scorenet import ConfigError, ModelConfig
from scorenet.base.did_you_mean import close_matches
from scorenet.base.error_line import error_line
from strategies import Costs
from strategies.account.contracts import contract_of, settlement_coin

from .folder import toml

__all__ = [
    "RUN_KEYS",
    "Account",
    "model_config",
    "parse_pair",
    "parse_value",
    "read_toml",
    "run_settings",
]

_MOST_CASH = 1e15  # above it a float64 cannot hold the account to the cent, and its squares overflow
RUN_KEYS = ("command", "model", "bars", "since", "until", "gaps", "data_dir", "calendar")
"""Keys of a run's config.toml beside its tables of settings."""
_RENAMED = {"fee": "taker"}
"""Settings of earlier versions, and what they are called now."""


@dataclass(frozen=True, kw_only=True)
class Account(Costs):
    """The simulated account: its initial cash (settlement coin) and its `Costs`.

    `contract` "auto" takes the kind from each symbol: BTC/USDT:USDT is linear, BTC/USD:BTC inverse, BTC/USDT spot.
    `symbols` maps a symbol to costs of its own, e.g. {"ETH/USDT:USDT": {"taker": 0.001}}.

    Raises:
        ConfigError: the message names the setting, its allowed values and the value found.
    """

    cash: float = 10_000.0
    contract: str = "auto"
    symbols: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        try:
            super().__post_init__()
        except ValueError as error:
            raise ConfigError(str(error)) from error
        if not 0 < self.cash <= _MOST_CASH:
            raise ConfigError(f"cash: expected a positive amount up to {_MOST_CASH:g}, found {self.cash!r}")
        for symbol in self.symbols:
            self.costs_of(symbol)

    @classmethod
    def contracts(cls) -> tuple[str, ...]:
        """Return the values that `contract` may have."""
        return ("auto", *super().contracts())

    @property
    def costs(self) -> Costs:
        """Return the costs of a symbol without settings of its own, as a linear contract unless another is set."""
        values = {item.name: getattr(self, item.name) for item in fields(Costs)}
        return Costs(**{**values, "contract": "linear" if self.contract == "auto" else self.contract})

    def costs_of(self, symbol: str) -> Costs:
        """Return the costs of one symbol.

        Raises:
            ConfigError: its own settings are unknown, impossible, or belong to the whole account.
        """
        own = self.symbols.get(symbol, {})
        if not isinstance(own, Mapping):
            raise ConfigError(f"symbols.{symbol}: expected a table of settings, found {own!r}")
        known = {item.name for item in fields(Costs)} - {"slippage", "slippage_model"}
        for name in own:
            if name not in known:
                raise ConfigError(_unknown(name, known, f"symbols.{symbol}."))
        kind = {"contract": contract_of(symbol)} if self.contract == "auto" else {}
        try:
            return replace(self.costs, **{**kind, **own})
        except ValueError as error:
            raise ConfigError(f"symbols.{symbol}: {error}") from error

    def check_coins(self, symbols: Iterable[str]) -> None:
        """Check that all symbols settle in one coin.

        Raises:
            ConfigError: two symbols settle in different coins.
        """
        found: dict[str, str] = {}
        for symbol in symbols:
            coin = settlement_coin(symbol, self.costs_of(symbol).contract)
            if coin is not None:
                found.setdefault(coin, symbol)
        if len(found) > 1:
            named = ", ".join(f"{symbol} in {coin}" for coin, symbol in found.items())
            raise ConfigError(f"an account holds one settlement coin, found {named}; run them separately")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build from plain values; integers count as floats.

        Raises:
            ConfigError: a value has the wrong type or is impossible.
        """
        default = cls()
        changes = {}
        for name, value in values.items():
            kind = type(getattr(default, name))
            if kind is float and isinstance(value, int) and not isinstance(value, bool):
                value = float(value)
            if kind is tuple and isinstance(value, list):
                value = tuple(value)
            if not isinstance(value, kind):
                raise ConfigError(f"{name}: expected {kind.__name__}, found {value!r}")
            changes[name] = value
        return replace(default, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, which JSON and TOML give back unchanged."""
        return {**asdict(self), "risk_tiers": [list(tier) for tier in self.risk_tiers]}


def read_toml(path: str | Path | None) -> dict[str, Any]:
    """Read a settings file; without a path, return no settings.

    Raises:
        ConfigError: the file is missing, cannot be read or is not TOML.
    """
    if path is None:
        return {}
    try:
        return toml.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"no settings file at {path}") from error
    except ValueError as error:
        raise ConfigError(f"{path} is not a TOML file of settings: {error_line(error)}") from error
    except OSError as error:
        raise ConfigError(f"cannot read the settings file {path}: {error.strerror or error}") from error


def model_config(path: str | Path | None, pairs: Iterable[str], features: str | None = None) -> ModelConfig:
    """Combine the settings of `scorenet train`.

    Raises:
        ConfigError: a key is unknown or a value is impossible.
    """
    config = ModelConfig.from_dict(read_toml(path))
    if features is not None:
        config = config.with_values(features=features)
    return config.with_values(**dict(parse_pair(text) for text in pairs))


def run_settings(
    path: str | Path | None, pairs: Iterable[str], strategy_defaults: Mapping[str, Any]
) -> tuple[Account, dict[str, Any]]:
    """Combine the settings of a backtest into the account and the strategy's parameters.

    A file has the tables [account] and [strategy]; `--set` takes keys of both without the table's name. The file may be
    the config.toml of a run: its `RUN_KEYS` are options of the command and are not read here.

    Raises:
        ConfigError: a key is unknown or a value is impossible.
    """
    content = read_toml(path)
    account_names = {item.name for item in fields(Account)}
    known = account_names | set(strategy_defaults)
    flat: dict[str, Any] = {}
    for table, names in (("account", account_names), ("strategy", set(strategy_defaults))):
        values = content.pop(table, {})
        if not isinstance(values, Mapping):
            raise ConfigError(f"{table}: expected a table of settings, found {values!r}")
        for name, value in values.items():
            if name not in names:
                raise ConfigError(_unknown(name, names, f"{table}."))
            flat[name] = value
    for name in content:
        if name not in RUN_KEYS:
            raise ConfigError(_unknown(name, {"account", "strategy"}))
    for name, value in (parse_pair(text) for text in pairs):
        bare = name.removeprefix("account.").removeprefix("strategy.")
        if bare not in known:
            raise ConfigError(_unknown(name, known))
        flat[bare] = value
    account = Account.from_dict({n: v for n, v in flat.items() if n in account_names})
    own = {n: tuple(v) if isinstance(v, list) else v for n, v in flat.items() if n not in account_names}
    return account, {**strategy_defaults, **own}


def parse_pair(text: str) -> tuple[str, Any]:
    """Return the name and the value of `--set key=value`.

    Raises:
        ConfigError: the text has no name or no `=`.
    """
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise ConfigError(f"--set: expected key=value, found {text!r}")
    return name.strip(), parse_value(value.strip(), "--set")


def parse_value(text: str, where: str) -> Any:
    """Return the value of a setting: TOML, `none` or `off`, or else the text itself; `where` names it in errors.

    Raises:
        ConfigError: the text is a value that cannot be held.
    """
    if text.lower() in ("none", "null", "off"):
        return None
    try:
        return toml.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
    except ValueError as error:
        raise ConfigError(f"{where}: expected a value, found {error_line(error)}") from error


def _unknown(name: str, known: set[str], table: str = "") -> str:
    """Return the error text for an unknown setting, with a suggestion; `table` is put before the names shown."""
    bare = name.removeprefix("account.").removeprefix("strategy.")
    if bare in _RENAMED:
        return f"the setting {bare!r} is now called {_RENAMED[bare]!r}; write {_RENAMED[bare]} in its place"
    near = close_matches(name, sorted(known))
    hint = (
        f"did you mean {table + near[0]!r}?"
        if near
        else f"known: {', '.join(sorted(table + n for n in known))}"
    )
    return f"unknown setting {table + name!r}; {hint}"
