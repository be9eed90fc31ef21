"""What all trials of a study share: bars, account, parameters, model, strategy and the span that they trade."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import pandas as pd

from feeds.bars.frame import clock_of_frame
from feeds.bars.timeframes import to_ms
from scorenet import ConfigError, ScoreModel
from strategies import ScoreStrategy

from ..backtest import check_params, strategy_defaults
from ..engine import Result, benchmark, run
from ..folder.write import measure
from ..search import KnownSettings
from ..settings import Account
from .model_cache import ModelCache
from .outcome import Settings
from .own_strategy import OwnStrategy

__all__ = ["TrialSetup", "known_settings"]


@dataclass(frozen=True, kw_only=True)
class TrialSetup:
    """The inputs of every trial; picklable, so that a worker process gets all of it once.

    Attributes:
        frames: bars of each symbol, warm-up before `start` included.
        account, params: settings of the account and the strategy that a trial does not change.
        model: the model whose outputs all trials share, or the base of those that are trained; None: none is needed.
        start: first bar close that is traded and measured (UTC ms).
        strategy: the user's own strategy; None: `ScoreStrategy`.
        models: trains and keeps the models of trials that change model settings; None: no trial may.
    """

    frames: tuple[pd.DataFrame, ...]
    account: Account
    params: Mapping[str, Any]
    model: ScoreModel | None
    start: int
    strategy: OwnStrategy | None = None
    models: ModelCache | None = field(default=None)

    @property
    def bar_ms(self) -> int:
        """Return the size of a bar in ms."""
        return to_ms(self.frames[0].attrs["timeframe"])

    def resolve(self, settings: Settings) -> tuple[Account, dict[str, Any], ScoreModel | None]:
        """Return the account, the strategy's parameters and the model of a trial; the model may be trained now.

        Raises:
            ConfigError, ScorenetError: a value is impossible, or the model cannot be trained.
        """
        levels = known_settings(self.strategy).by_level(settings)
        account = Account.from_dict({**self.account.to_dict(), **levels["account"]})
        params = {**self.params, **levels["strategy"]}
        if not levels["model"]:
            return account, params, self.model
        if self.models is None:
            raise ConfigError(
                f"{', '.join(levels['model'])}: a model setting needs a model that was trained by `scorenet train`"
            )
        return account, params, self.models.get(levels["model"])

    def run(self, settings: Settings) -> tuple[Result, Account, ScoreModel | None]:
        """Run one trial in Cerebro and return its tables, and the account and model that it had.

        Raises:
            Exception: whatever the trial raises.
        """
        account, params, model = self.resolve(settings)
        strategy = ScoreStrategy if self.strategy is None else self.strategy.load()
        result = run(self.frames, account, strategy, self.given(params, model), since=self.start)
        return result, account, model

    def given(self, params: Mapping[str, Any], model: ScoreModel | None) -> dict[str, Any]:
        """Return the parameters with the model and the start of trading, where the strategy has such parameters."""
        takes = ("model", "trade_from") if self.strategy is None else self.strategy.takes
        values = {"model": model, "trade_from": self.start}
        return {**params, **{name: values[name] for name in takes}}

    def measured(self, result: Result, account: Account) -> tuple[dict[str, Any], pd.DataFrame]:
        """Return the metrics of a run next to buy-and-hold, and its equity with drawdown and benchmark."""
        return measure(
            result, benchmark(self.frames, account, self.start), clock_of_frame(self.frames[0]), None
        )

    def from_time(self, frames: tuple[pd.DataFrame, ...], start: int) -> TrialSetup:
        """Return the same on other bars, traded from another start."""
        return replace(self, frames=frames, start=start)


@lru_cache(maxsize=8)
def known_settings(strategy: OwnStrategy | None) -> KnownSettings:
    """Return the settings that a study of this strategy may change."""
    if strategy is None:
        return KnownSettings.of()
    known = KnownSettings.of(strategy.parameters)
    if not strategy.decides_as_ours:
        return known
    ours = strategy_defaults()

    def check(values: Mapping[str, Any]) -> None:
        check_params(ours | {name: value for name, value in values.items() if name in ours})

    return replace(known, checks={**known.checks, "strategy": check})
