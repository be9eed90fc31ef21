"""Trials by the compiled replay: the same decisions, orders and equity as Cerebro, hundreds of times faster."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np

from scorenet import ScoreModel
from scorenet.base.error_line import error_line
from strategies import Rules
from strategies.decision import needs_tails
from strategies.replay import ReplayMarket, ReplayResult, not_compiled, prepare, replay

from ..engine import Result
from ..markets import as_market
from ..search import SearchSpace
from ..settings import Account
from .cerebro import CerebroEvaluator
from .outcome import METRICS, Outcome, Settings, failure, finite_or_none
from .setup import TrialSetup

__all__ = ["ReplayEvaluator", "not_replayed"]

_TOLERANCE = 1e-9  # of equity and order sizes, between the replay and Cerebro
_KEPT = 4  # markets of trained models in memory

Kind = tuple[str, str, bool, bool]
"""What a prepared market depends on: the model's fingerprint, the signal, tail means, regimes."""


@dataclass(frozen=True, eq=False)
class ReplayEvaluator:
    """Replay trials in batches; a trial that the replay does not cover is a Cerebro run.

    Attributes:
        setup: bars, account, strategy and model.
        threads: threads of one replay; None: one a core, which is right where no other worker runs.
        markets: prepared bars and model outputs, shared by all trials of a kind.
    """

    setup: TrialSetup
    threads: int | None = None
    markets: dict[Kind, ReplayMarket] = field(default_factory=dict)
    batch: int = 256

    @classmethod
    def prepare(
        cls, setup: TrialSetup, needs: Sequence[tuple[str, bool]], *, threads: int | None = None
    ) -> ReplayEvaluator:
        """Compute once what the trials share, for each (signal, with tail means) that one may ask for.

        Raises:
            FeatureMismatch, ConfigError: the model cannot read the bars, or is not calibrated for the signal.
        """
        found = cls(setup, threads)
        if setup.model is not None:
            for signal, tails in needs:
                found._market(setup.model, signal, tails, bool(setup.params.get("regimes")))
        return found

    def evaluate(self, batch: Sequence[Settings], floors: Sequence[float] = ()) -> Sequence[Outcome]:
        """Return the outcome of each trial; one that cannot be run is a failed row with its reason."""
        outcomes: list[Outcome | None] = [None] * len(batch)
        groups: dict[Any, list[tuple[int, Rules, Any]]] = defaultdict(list)
        markets: dict[Any, ReplayMarket] = {}
        for place, settings in enumerate(batch):
            try:
                account, rules, market = self._resolved(settings)
                reason = not_compiled(rules, _costs(account, market), market.facts)
            except Exception as error:  # training, or a user's rule, may raise any error; the study goes on
                outcomes[place] = failure(f"{type(error).__name__}: {error_line(error)}")
                continue
            if reason is not None:
                (outcomes[place],) = CerebroEvaluator(self.setup).evaluate([settings])
                continue
            key = (id(market), account.cash)
            markets[key] = market
            groups[key].append((place, rules, _costs(account, market)))
        for key, trials in groups.items():
            self._replay(markets[key], key[1], trials, outcomes)
        return [outcome for outcome in outcomes if outcome is not None]

    def difference(self, settings: Settings, result: Result) -> str:
        """Return in words how the replay of a trial differs from its Cerebro run; empty if it does not."""
        account, rules, market = self._resolved(settings)
        costs = _costs(account, market)
        if not_compiled(rules, costs, market.facts) is not None:
            return ""
        found = replay(market, [rules], [costs], cash=account.cash, threads=1, curves=True, trace=True)
        return _equity_differs(found, result) or _orders_differ(found, result)

    def _resolved(self, settings: Settings) -> tuple[Account, Rules, ReplayMarket]:
        account, params, model = self.setup.resolve(settings)
        if model is None:
            raise ValueError("the replay needs a model")
        rules = Rules(**{name: value for name, value in params.items() if name != "signal"})
        tails = needs_tails(rules.position_rule)
        return account, rules, self._market(model, params["signal"], tails, bool(rules.regimes))

    def _market(self, model: ScoreModel, signal: str, tails: bool, regimes: bool) -> ReplayMarket:
        kind = (model.fingerprint, signal, tails, regimes)
        if kind not in self.markets:
            setup = self.setup
            own = sum(fingerprint == kind[0] for fingerprint, *_ in self.markets)
            if not own and len(self.markets) >= _KEPT:
                self.markets.pop(next(iter(self.markets)))
            self.markets[kind] = prepare(
                {market.symbol: market.bars for market in map(as_market, setup.frames)},
                model,
                setup.bar_ms,
                signal=signal,
                trade_from=setup.start,
                since=setup.start,
                tails=tails,
                regimes=regimes,
            )
        return self.markets[kind]

    def _replay(
        self,
        market: ReplayMarket,
        cash: float,
        trials: Sequence[tuple[int, Rules, Any]],
        outcomes: list[Outcome | None],
    ) -> None:
        rules, costs = [rule for _, rule, _ in trials], [cost for _, _, cost in trials]
        try:
            found = replay(market, rules, costs, cash=cash, threads=self.threads, curves=True)
        except Exception as error:  # a user's position rule may raise any error
            for one in trials if len(trials) > 1 else ():
                self._replay(market, cash, [one], outcomes)  # the others of the batch go on
            if len(trials) == 1:
                outcomes[trials[0][0]] = failure(f"{type(error).__name__}: {error_line(error)}")
            return
        _, returns = found.daily_returns()
        for number, (place, _, _) in enumerate(trials):
            metrics = found.metrics(number)
            figures = {name: finite_or_none(metrics.get(name)) for name in METRICS}
            outcomes[place] = Outcome(figures, np.ascontiguousarray(returns[number]))


def not_replayed(setup: TrialSetup, space: SearchSpace) -> str | None:
    """Return why trials of this search are Cerebro runs; None if the compiled replay covers every one.

    All combinations of the values of text settings are looked at, and both ends of the others.
    """
    if setup.strategy is not None:
        return f"the strategy {setup.strategy.name} is your own"
    if setup.model is None:
        return "there is no model"
    listed = {
        name: dimension.ends if any(isinstance(value, str) for value in dimension.ends) else ()
        for name, dimension in space.dimensions.items()
    }
    texts = {name: values for name, values in listed.items() if values}
    others = {name: dimension.ends for name, dimension in space.dimensions.items() if name not in texts}
    ends = [{name: values[place] for name, values in others.items()} for place in (0, -1)]
    known = space.known
    symbols = [str(frame.attrs["symbol"]) for frame in setup.frames]
    for chosen in product(*texts.values()):
        for rest in ends:
            levels = known.by_level({**dict(zip(texts, chosen, strict=True)), **rest})
            account = Account.from_dict({**setup.account.to_dict(), **levels["account"]})
            params: Mapping[str, Any] = {**setup.params, **levels["strategy"]}
            rules = Rules(**{name: value for name, value in params.items() if name != "signal"})
            reason = not_compiled(rules, [account.costs_of(symbol) for symbol in symbols])
            if reason is not None:
                return reason
    return None


def _costs(account: Account, market: ReplayMarket) -> list[Any]:
    return [account.costs_of(symbol) for symbol in market.facts.symbols]


def _equity_differs(found: ReplayResult, result: Result) -> str:
    assert found.equity is not None  # noqa: S101 - it was asked for
    ours, theirs = found.equity[0], result.equity["equity"].to_numpy(np.float64)
    if len(ours) != len(theirs):
        return f"{len(ours):,} bars of equity, Cerebro has {len(theirs):,}"
    apart = np.abs(ours - theirs) > _TOLERANCE * np.maximum(np.abs(theirs), 1.0)
    if not apart.any():
        return ""
    row = int(np.argmax(apart))
    return f"equity at {result.equity['time'].iloc[row]} is {ours[row]!r}, in Cerebro {theirs[row]!r}"


def _orders_differ(found: ReplayResult, result: Result) -> str:
    ours, theirs = found.orders(0), result.orders
    if len(ours["time"]) != len(theirs):
        return f"{len(ours['time']):,} orders, Cerebro has {len(theirs):,}"
    for name in ("time", "decided"):
        stamps = theirs[name].astype("datetime64[ms, UTC]").astype("int64").to_numpy()
        if (row := _first(ours[name] != stamps)) is not None:
            return f"order {row} has {name} {ours[name][row]}, in Cerebro {stamps[row]}"
    for name in ("symbol", "status"):
        if (row := _first(np.array(ours[name]) != theirs[name].to_numpy())) is not None:
            return f"order {row} has {name} {ours[name][row]}, in Cerebro {theirs[name].iloc[row]}"
    sizes = theirs["size"].to_numpy(np.float64)
    apart = np.abs(np.abs(ours["size"]) - np.abs(sizes)) > _TOLERANCE * np.maximum(np.abs(sizes), 1e-12)
    if (row := _first(apart)) is not None:
        return f"order {row} has size {ours['size'][row]!r}, in Cerebro {sizes[row]!r}"
    return ""


def _first(flags: Any) -> int | None:
    return int(np.argmax(flags)) if np.any(flags) else None
