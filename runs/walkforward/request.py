"""What `scorenet walkforward` was asked to do."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scorenet import ConfigError, ModelConfig

from ..backtest import check_params, strategy_defaults
from ..optimize.request import DEFAULT_SPACE, SearchOptions
from ..search import KnownSettings, SearchSpace
from ..selection import SelectionError, combinatorial_paths
from ..settings import Account, parse_pair, read_toml
from ..study import Objectives

__all__ = ["WalkRequest", "WalkSettings"]

_TABLES = ("model", "account", "strategy")


@dataclass(frozen=True, kw_only=True)
class WalkRequest(SearchOptions):
    """The options of `scorenet walkforward`, by their names there; lengths of parts are in days.

    Raises:
        ConfigError: two of them contradict each other.
    """

    train: float
    test: float
    validation: float = 0.0
    expanding: bool = False
    purge: int | None = None
    embargo: int | None = None
    warm_start: bool = False
    combinatorial: str | None = None
    features: str | None = None
    objective: str = "sharpe_ratio"
    command: Sequence[str] = ("scorenet", "walkforward")

    def __post_init__(self) -> None:
        for name in ("train", "test"):
            if not 0 < getattr(self, name) < math.inf:
                raise ConfigError(
                    f"--{name}: expected a positive number of days, found {getattr(self, name)}"
                )
        if not 0 <= self.validation < math.inf:
            raise ConfigError(f"--validation: expected a number of days, at least 0, found {self.validation}")
        searching = bool(self.grid or self.space or self.trials is not None)
        if searching and not self.validation:
            raise ConfigError(
                "settings are chosen on a validation part of each fold: add --validation DAYS, or leave out --grid, "
                "--space and --trials"
            )
        if self.validation and not searching:
            raise ConfigError(
                "--validation is where settings are chosen: add --grid key=v1,v2,... or --trials N"
            )
        if self.combinatorial is not None:
            self._parse_groups()
        if self.space and self.trials is None:
            raise ConfigError("--space needs --trials N")
        self.check_names()
        Objectives((self.objective,))

    @property
    def groups(self) -> tuple[int, int]:
        """Return the number of groups and of test groups of the combinatorial cross-validation."""
        return self._parse_groups()

    def _parse_groups(self) -> tuple[int, int]:
        found = re.fullmatch(r"\s*([0-9]{1,3})\s*,\s*([0-9]{1,3})\s*", str(self.combinatorial))
        if found is None:
            raise ConfigError(
                f"--combinatorial: expected GROUPS,TEST_GROUPS such as 6,2, found {self.combinatorial!r}"
            )
        groups, tested = int(found[1]), int(found[2])
        try:
            combinatorial_paths(groups, tested)
        except SelectionError as error:
            raise ConfigError(f"--combinatorial: {error}") from error
        return groups, tested

    @property
    def searches(self) -> bool:
        """Return whether each fold chooses settings."""
        return self.validation > 0


@dataclass(frozen=True, kw_only=True)
class WalkSettings:
    """The fixed settings of all folds, and the space that each fold chooses from; None: nothing is chosen."""

    model: ModelConfig
    account: Account
    params: Mapping[str, Any]
    space: SearchSpace | None

    @classmethod
    def of(cls, request: WalkRequest) -> WalkSettings:
        """Read defaults, the settings file, `--set` and the search.

        Raises:
            ConfigError: a setting is unknown or impossible, or cannot differ between folds.
        """
        known = KnownSettings.of()
        levels = _fixed(request, known)
        model = ModelConfig().with_values(**levels["model"])
        account = Account.from_dict(levels["account"])
        params = {**strategy_defaults(), **levels["strategy"]}
        if request.signal is not None:
            params["signal"] = request.signal
        check_params(params)
        space = None
        if request.searches:
            fixed = {**dict(known.defaults["model"]), **levels["model"], **account.to_dict(), **params}
            texts = (*request.grid, *request.space) or DEFAULT_SPACE
            space = SearchSpace.parse(texts, request.constraints, known=known, fixed=fixed)
            _check_space(space, request)
        return cls(model=model, account=account, params=params, space=space)


def _fixed(request: WalkRequest, known: KnownSettings) -> dict[str, dict[str, Any]]:
    found: dict[str, Any] = {}
    content = read_toml(request.config)
    for table, values in content.items():
        if table not in _TABLES or not isinstance(values, Mapping):
            raise ConfigError(f"{request.config}: expected the tables {', '.join(_TABLES)}, found {table!r}")
        names = known.flat(values) if table == "model" else values
        found |= {known.find(f"{table}.{name}")[1]: value for name, value in names.items()}
    if request.features is not None:
        found["features"] = request.features
    for name, value in (parse_pair(text) for text in request.pairs):
        found[known.find(name)[1]] = value
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}
    return known.by_level(values)


def _check_space(space: SearchSpace, request: WalkRequest) -> None:
    for name in space.dimensions:
        level = space.known.find(name)[0]
        if level == "account":
            raise ConfigError(f"{name}: the account is the same in all folds; set it with --set {name}=VALUE")
        if name == "forward.horizon":
            raise ConfigError(
                "forward.horizon: models that follow each other in one account need one horizon"
            )
        if name in ("allocation", "allocation_every", "covariance_window", "signal"):
            raise ConfigError(
                f"{name} cannot change on the way; set it for all folds with --set {name}=VALUE"
            )
        if level == "model" and request.warm_start:
            raise ConfigError(f"--warm-start needs models of the same settings, and {name} is searched")
