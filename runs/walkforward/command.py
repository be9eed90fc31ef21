"""Run a walk-forward from its options to its run folder."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from feeds.bars.frame import clock_of_frame
from feeds.bars.timeframes import to_ms
from scorenet import ScoreModel
from scorenet.base.locks import LockHeld, try_lock
from scorenet.base.terminal.progress import progress_bar
from scorenet.base.times import DAY_MS, iso
from scorenet.learning.rows import common_features
from strategies import ScoreStrategy

from ..backtest import check_signal
from ..engine import run
from ..folder.errors import NotARunDir, UnwritableRun
from ..folder.rundir import KNOWN_FILES, RunDir
from ..folder.write import RunInputs, write_run
from ..markets import as_market, load_markets
from ..study import known_settings
from .choice import FOLDS, Choice, choose
from .combinatorial import combinatorial
from .dates import FoldDates, fold_dates
from .models import FoldModels, caches_of
from .request import WalkRequest, WalkSettings
from .table import fold_table, trial_table
from .worth import worth_of

__all__ = ["walkforward"]

MODEL = "model"
"""The folder in RUN_DIR with the model of the last fold."""


def walkforward(request: WalkRequest) -> dict[str, Any]:
    """Train and choose fold by fold, trade all test parts in one account, write the run; return metrics.json's content.

    The models are kept under DATA_DIR/models: a run with other thresholds trains none of them again.

    Raises:
        ConfigError: an option is impossible, or there are too few bars for one fold.
        FoldFailed: a fold has no model or no settings.
        FeedError, ScorenetError, RunDirError: an error of the bars, the workers or the folder.
    """
    settings = WalkSettings.of(request)
    folder = _check_out(request)
    frames = load_markets(request.bars, request.load)
    lookback, horizon = _lookback(frames, settings), settings.model.forward.horizon
    folds = fold_dates(frames, request, lookback, horizon)
    print(_announcement(folds, request, settings), file=sys.stderr)
    with _alone(folder):
        return _walked(folder, folds, frames, request, settings)


def _walked(
    folder: Path,
    folds: Sequence[FoldDates],
    frames: Sequence[pd.DataFrame],
    request: WalkRequest,
    settings: WalkSettings,
) -> dict[str, Any]:
    lookback, horizon = _lookback(frames, settings), settings.model.forward.horizon
    models = _models(folds, frames, request, settings)
    check_signal(models.models[0], settings.params["signal"])
    choices = _choices(folds, frames, request, settings, models)
    start = folds[0].test[0] + to_ms(frames[0].attrs["timeframe"])
    result = run(
        frames, settings.account, ScoreStrategy, stitched(folds, choices, frames, settings), since=start
    )
    out = RunDir(folder)
    days = clock_of_frame(frames[0]).days_per_year
    table = fold_table(folds, choices, models.seconds, result.equity, result.orders, request.objective, days)
    out.write_frame("folds", table)
    out.write_frame("trials", trial_table(choices, settings))
    paths = None
    if request.combinatorial is not None:
        gap = request.purge or horizon, request.embargo or lookback
        paths = combinatorial(frames, request, settings, gap, _models_folder(request)).to_metrics(days)
    due = folds[-1].test[0] + round(request.test * DAY_MS)
    _keep_last(choices[-1].model, folder / MODEL, due)
    extra = {
        **worth_of(choices, result.equity, days),
        "objective": request.objective,
        "folds": _plain(table),
        "paths": paths,
        "training_seconds": sum(models.seconds),
        "last_model": str(Path(request.out) / MODEL),
        "refit_due": iso(due),
    }
    inputs = RunInputs(
        command=request.command,
        config=_config(request, settings),
        model=None,
        frames=frames,
        sources=request.bars,
        account=settings.account,
        start=start,
    )
    return write_run(out, inputs, result, extra=extra)


def stitched(
    folds: Sequence[FoldDates],
    choices: Sequence[Choice],
    frames: Sequence[pd.DataFrame],
    settings: WalkSettings,
) -> dict[str, Any]:
    """Return the strategy's parameters of the one run over all test parts: a schedule of models, and one of rules."""
    step = to_ms(frames[0].attrs["timeframe"])
    since = [fold.test[0] + step for fold in folds]
    known = known_settings(None)
    rules = [known.by_level(choice.settings)["strategy"] for choice in choices]
    return {
        **settings.params,
        **rules[0],
        "model": [(at, choice.model) for at, choice in zip(since, choices, strict=True)],
        "rules_from": list(zip(since[1:], rules[1:], strict=True)),
        "trade_from": since[0],
    }


def _models_folder(request: WalkRequest) -> Path:
    return Path(request.load.data_dir).resolve() / "models"


def _lookback(frames: Sequence[pd.DataFrame], settings: WalkSettings) -> int:
    """Return the longest lookback of the feature sets that a fold may choose."""
    markets = [as_market(frame) for frame in frames]
    configs = [settings.model]
    if settings.space is not None and "features" in settings.space.dimensions:
        names = settings.space.dimensions["features"].ends
        configs = [settings.model.with_values(features=name) for name in names]
    return max(common_features(markets, config).lookback for config in configs)


def _models(
    folds: Sequence[FoldDates], frames: Sequence[pd.DataFrame], request: WalkRequest, settings: WalkSettings
) -> FoldModels:
    caches = caches_of(
        folds,
        frames,
        request.bars,
        settings.model,
        _models_folder(request),
        device=request.device,
        threads=request.threads,
    )
    return FoldModels.trained(
        folds, caches, request.new_executor(), warm=request.warm_start, progress=request.load.progress
    )


def _choices(
    folds: Sequence[FoldDates],
    frames: Sequence[pd.DataFrame],
    request: WalkRequest,
    settings: WalkSettings,
    models: FoldModels,
) -> list[Choice]:
    if settings.space is None:
        return [Choice({}, (), model, path) for model, path in zip(models.models, models.paths, strict=True)]
    bar = progress_bar(folds, name="settings", unit="fold", shown=request.load.progress)
    return [
        choose(fold, frames, request, settings, model, cache)
        for fold, model, cache in zip(bar, models.models, models.caches, strict=True)
    ]


def _keep_last(model: ScoreModel, folder: Path, due: int) -> None:
    """Write the last fold's model with the date of its next refit, which `scorenet live` names."""
    replace(model, info={**model.info, "refit_due": due}).save(folder)


def _announcement(folds: Sequence[FoldDates], request: WalkRequest, settings: WalkSettings) -> str:
    first, last = folds[0], folds[-1]
    kind = "expanding" if request.expanding else "rolling"
    text = (
        f"{len(folds)} {kind} folds: the first learns from {iso(first.train[0])[:10]} to {iso(first.train[1])[:10]}; "
        f"out of sample from {iso(first.test[0])[:10]} to {iso(last.test[1])[:10]}"
    )
    if settings.space is None:
        return text
    names = ", ".join(settings.space.dimensions)
    return f"{text}; {names} chosen on the {request.validation:g} days before each test part"


def _config(request: WalkRequest, settings: WalkSettings) -> dict[str, Any]:
    return {
        "command": "walkforward",
        "bars": list(request.bars),
        "since": request.load.since,
        "until": request.load.until,
        "calendar": request.load.calendar,
        "account": settings.account.to_dict(),
        "strategy": settings.params,
        "model_settings": settings.model.to_dict(),
        "walkforward": {
            "train": request.train,
            "test": request.test,
            "validation": request.validation,
            "expanding": request.expanding,
            "warm_start": request.warm_start,
            "space": [*request.grid, *request.space],
            "constraints": list(request.constraints),
            "trials": request.trials or 0,
            "objective": request.objective,
            "seed": request.seed,
        },
    }


def _plain(table: pd.DataFrame) -> list[dict[str, Any]]:
    shown = table.copy()
    for name in shown:
        if str(shown[name].dtype).startswith("datetime"):
            shown[name] = [
                None if pd.isna(value) else iso(int(value.timestamp() * 1000)) for value in shown[name]
            ]
    return [{str(k): (None if v != v else v) for k, v in row.items()} for row in shown.to_dict("records")]


def _check_out(request: WalkRequest) -> Path:
    folder = Path(request.out).resolve()
    if folder.is_file():
        raise NotARunDir(f"{request.out} is a file; choose another --out")
    if folder.is_dir() and any(folder.iterdir()) and not request.resume:
        raise NotARunDir(f"{request.out} is not empty; go on with --resume, or choose another --out")
    if folder.is_dir():
        _check_resumed(folder, request.out)
    return folder


def _check_resumed(folder: Path, shown: str) -> None:
    """Refuse to write over anything that a walk-forward has not written."""
    names = {entry.name for entry in folder.iterdir() if not entry.name.startswith(".")}
    foreign = sorted(names - KNOWN_FILES - {MODEL, FOLDS})
    if foreign:
        raise NotARunDir(
            f"{shown} holds {', '.join(foreign[:3])}, which no walk-forward wrote; choose another --out"
        )
    if "config.toml" in names and (command := RunDir(folder).read_config().get("command")) != "walkforward":
        raise NotARunDir(f"{shown} is the run of another command ({command!r}); choose another --out")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Make the folder, better now than after hours of training, and let no other walk-forward write into it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnwritableRun(
            f"cannot write {folder}: {error.strerror or error}; choose another --out"
        ) from error
    with ExitStack() as stack:
        try:
            stack.enter_context(try_lock(folder))
        except LockHeld as error:
            raise UnwritableRun(
                f"another process runs a walk-forward in {folder}; wait for its end, or choose another --out"
            ) from error
        except OSError:
            pass  # a file system without locks, or Windows, which opens no folders
        yield
