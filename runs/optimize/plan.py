"""From the command's options to a study: load, check, and say what will be done before anything is run."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from feeds.bars.times import parse_time
from scorenet import ConfigError, ScoreModel, feature_set
from scorenet.features import OPTIONAL_INPUTS
from strategies.analyzers.regimes import regime_warmup

from ..backtest import check_frames, check_params, check_signal, trading_start
from ..executors import Executor
from ..markets import cut, describe, load_markets
from ..plugins import plugin_identity
from ..search import GridSampler, OptunaSampler, RandomSampler, Sampler, SearchSpace
from ..settings import Account, run_settings
from ..study import (
    CerebroEvaluator,
    Evaluator,
    MedianRule,
    Objectives,
    OwnStrategy,
    Plan,
    TrialSetup,
    known_settings,
    output_needs,
)
from ..study.early_stop import checkpoint_times
from ..study.model_cache import ModelCache, training_data
from ..study.replay import ReplayEvaluator, not_replayed
from ..study.span import Spans, split
from .request import Request

__all__ = ["Prepared", "evaluator_of", "prepare", "sampler_of"]


@dataclass(frozen=True)
class Prepared:
    """All that a study needs, checked.

    Attributes:
        setup: what the trials share, on the bars that the search sees.
        later: the same on the held-out bars; None: there are none.
        spans: the two parts of the bars.
        evaluator: runs the trials.
        why: why the trials are real Cerebro runs, where they are.
    """

    request: Request
    space: SearchSpace
    setup: TrialSetup
    later: TrialSetup | None
    spans: Spans
    evaluator: Evaluator
    why: str

    def sampler(self) -> Sampler:
        """Return the sampler of the command."""
        return sampler_of(self.request.sampler_name, self.space, self.request.seed, self.plan.objectives)

    def on(self, setup: TrialSetup) -> Evaluator:
        """Return the evaluator for other bars, without early stops."""
        return evaluator_of(setup, self.space, replayed=not self.why, threads=self.request.replay_threads)

    def executor(self) -> Executor:
        """Return the executor of the command."""
        return self.request.new_executor()

    @property
    def plan(self) -> Plan:
        """Return how the study searches, and what it is about."""
        request = self.request
        return Plan(
            objectives=Objectives(tuple(request.objectives)),
            ahead=request.ahead,
            prune=MedianRule() if request.prune else None,
            identity=self.identity(),
        )

    def identity(self) -> dict[str, Any]:
        """Return what a resumed study must have in common with its beginning."""
        request, setup = self.request, self.setup
        return {
            "space": {name: repr(dimension) for name, dimension in self.space.dimensions.items()},
            "constraints": [constraint.text for constraint in self.space.constraints],
            "sampler": request.sampler_name,
            "seed": request.seed,
            "ahead": request.ahead,
            "prune": request.prune,
            "objectives": list(request.objectives),
            "evaluator": type(self.evaluator).__name__,
            "account": setup.account.to_dict(),
            "strategy": dict(setup.params),
            "own_strategy": None
            if setup.strategy is None
            else f"{setup.strategy.name} {_digest(setup.strategy.file)}",
            "model": None if setup.model is None else setup.model.fingerprint,
            "bars": {str(f.attrs["symbol"]): describe(f, "")["sha256"] for f in setup.frames},
            "start": setup.start,
            "held_out": self.spans.held_out,
            **plugin_identity(),
        }


def prepare(request: Request) -> Prepared:
    """Load the model and the bars, and check every option before the first trial.

    Raises:
        ConfigError, FeedError, ScorenetError: an option, the bars or the model cannot be used.
    """
    Objectives(tuple(request.objectives))
    own = None if request.strategy is None else OwnStrategy.parse(request.strategy)
    account, params = _settings(request, own)
    known = known_settings(own)
    space = SearchSpace.parse(
        request.dimensions, request.constraints, known=known, fixed={**account.to_dict(), **params}
    )
    model = None if request.model is None else ScoreModel.load(request.model)
    if own is not None and model is None and "model" in own.takes and params.get("model") is None:
        raise ConfigError(
            f"--model: the strategy {own.name} has a parameter 'model'; name the model's folder"
        )
    models = None
    if "model" in space.levels:
        if model is None:
            raise ConfigError("a search over model settings needs --model as the base of the models")
        models = ModelCache(
            _models_folder(request),
            model.config,
            *training_data(model, request.load),
            device=request.device,
            threads=request.threads,
        )
    elif model is not None:
        for signal in _values(space, params, "signal"):
            check_signal(model, signal)
    frames, start = _bars(request, space, model, own)
    spans = split(frames, start, request.holdout)
    setup = TrialSetup(
        frames=spans.seen,
        account=account,
        params=params,
        model=model,
        start=start,
        strategy=own,
        models=models,
    )
    checks = checkpoint_times(start, int(spans.closes[-1])) if request.prune else ()
    why = _why_not_replayed(request, setup, space)
    evaluator = evaluator_of(setup, space, replayed=not why, checks=checks, threads=request.replay_threads)
    return Prepared(request, space, setup, _later(setup, frames, spans), spans, evaluator, why)


def _why_not_replayed(request: Request, setup: TrialSetup, space: SearchSpace) -> str:
    """Return why the trials are real Cerebro runs; empty if they are replayed.

    Raises:
        ConfigError: the replay was asked for and does not cover the search.
    """
    if request.evaluator == "cerebro":
        return "--evaluator cerebro"
    reason = not_replayed(setup, space)
    if reason is None:
        return ""
    if request.evaluator == "replay":
        raise ConfigError(
            f"--evaluator replay: {reason}; leave the option out, and the trials run in Cerebro"
        )
    return f"not compiled: {reason}"


def sampler_of(name: str, space: SearchSpace, seed: int, objectives: Objectives) -> Sampler:
    """Return a new sampler by its name: grid, random or optuna."""
    if name == "grid":
        return GridSampler(space)
    if name == "random":
        return RandomSampler(space, seed)
    return OptunaSampler(space, directions=objectives.directions, seed=seed)


def evaluator_of(
    setup: TrialSetup,
    space: SearchSpace,
    *,
    replayed: bool,
    checks: tuple[int, ...] = (),
    threads: int | None = None,
) -> Evaluator:
    """Return what runs the trials of a space: the compiled replay or Cerebro, stopped early at the closes `checks`."""
    signals, rules = (_values(space, setup.params, name) for name in ("signal", "position_rule"))
    shared = setup.model is not None and "model" not in space.levels
    needs = output_needs(signals, rules) if shared else []
    if not replayed:
        return CerebroEvaluator.prepare(setup, needs, checks)
    return ReplayEvaluator.prepare(setup, needs, threads=threads)


def _settings(request: Request, own: OwnStrategy | None) -> tuple[Account, dict[str, Any]]:
    from ..backtest import strategy_defaults

    defaults = strategy_defaults() if own is None else own.parameters
    account, params = run_settings(request.config, request.pairs, defaults)
    if request.signal is not None:
        if "signal" not in params:
            raise ConfigError(f"--signal: the strategy of {request.strategy} has no parameter 'signal'")
        params["signal"] = request.signal
    if own is None:
        check_params(params)
    return account, params


def _values(space: SearchSpace, params: Mapping[str, Any], name: str) -> list[str]:
    """Return every value that a text setting has in a trial."""
    dimension = space.dimensions.get(name)
    values: Iterable[Any] = [params[name]] if dimension is None and name in params else []
    return [str(value) for value in (values if dimension is None else dimension.ends)]


def _models_folder(request: Request) -> Path:
    return Path(request.load.data_dir).resolve() / "models"


def _bars(
    request: Request, space: SearchSpace, model: ScoreModel | None, own: OwnStrategy | None
) -> tuple[list[pd.DataFrame], int]:
    """Load the bars with their warm-up, and return the first bar close that is traded."""
    from feeds.bars.timeframes import to_ms

    begins_itself = own is None or "trade_from" in own.takes
    if model is None or not begins_itself:
        frames = load_markets(request.bars, request.load)
        if model is not None:
            check_frames(model, frames)
        step = to_ms(frames[0].attrs["timeframe"])
        first = min(int(frame["timestamp"].iloc[0]) for frame in frames)
        since = first if request.load.since is None else max(first, parse_time(request.load.since))
        return frames, since + step
    lookback = max(model.lookback, *_lookbacks(space, model))
    frames = load_markets(request.bars, request.load, warmup_bars=lookback + 1 + regime_warmup(model))
    check_frames(model, frames)
    start = trading_start(model, frames, request.load.since)
    if lookback > model.lookback:
        step = to_ms(frames[0].attrs["timeframe"])
        warmed = [int(frame["timestamp"].iloc[min(lookback, len(frame) - 1)]) + step for frame in frames]
        start = max(start, min(warmed))
    return frames, start


def _lookbacks(space: SearchSpace, model: ScoreModel) -> list[int]:
    """Return the lookback of each feature set that the search tries, so that all trials trade the same bars."""
    dimension = space.dimensions.get("features")
    present = tuple(name for name in OPTIONAL_INPUTS if name in model.features.inputs)
    names = [] if dimension is None else dimension.ends
    return [0, *(feature_set(str(name), present).lookback for name in names)]


def _later(setup: TrialSetup, frames: list[pd.DataFrame], spans: Spans) -> TrialSetup | None:
    """Return the setup of the held-out part; earlier bars warm up, unless the strategy cannot wait for its start."""
    if spans.held_out is None:
        return None
    if setup.strategy is not None and "trade_from" not in setup.strategy.takes:
        parts = [cut(frame, spans.held_out - setup.bar_ms, None) for frame in frames]
        return setup.from_time(tuple(part for part in parts if len(part)), spans.held_out)
    return setup.from_time(tuple(frames), spans.held_out)


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
