"""The models of the folds: trained once, kept under the hash of settings and bars, found again by every later run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from scorenet import ModelConfig, ScoreModel, ScorenetError
from scorenet.base.error_line import error_line
from scorenet.base.terminal.progress import progress_bar

from ..executors import Chunk, Executor
from ..markets import as_market, cut, describe
from ..study import Outcome, Settings
from ..study.model_cache import ModelCache
from ..study.outcome import FAILED, failure
from .dates import FoldDates

__all__ = ["FoldFailed", "FoldModels", "FoldTrainer", "caches_of"]


class FoldFailed(ScorenetError, RuntimeError):
    """Report a fold whose model cannot be trained."""


def caches_of(
    folds: Sequence[FoldDates],
    frames: Sequence[pd.DataFrame],
    sources: Sequence[str],
    config: ModelConfig,
    folder: Path,
    *,
    device: str,
    threads: int | None,
) -> tuple[ModelCache, ...]:
    """Return a cache for each fold, with the bars of its training part; a symbol without bars there is left out."""
    caches = []
    for fold in folds:
        parts = [(cut(frame, *fold.train), source) for frame, source in zip(frames, sources, strict=True)]
        known = [(part, source) for part, source in parts if len(part)]
        caches.append(
            ModelCache(
                folder,
                config,
                tuple(as_market(part) for part, _ in known),
                tuple(describe(part, source) for part, source in known),
                device=device,
                threads=threads,
            )
        )
    return tuple(caches)


@dataclass(frozen=True, eq=False)
class FoldTrainer:
    """Trains the models of folds; a "trial" is the number of a fold."""

    caches: tuple[ModelCache, ...]
    batch: int = 1

    def evaluate(self, batch: Sequence[Settings], floors: Sequence[float] = ()) -> Sequence[Outcome]:
        """Return an outcome for each fold, with the seconds of its training; 0 if the model was there."""
        return [self._outcome(int(settings["fold"])) for settings in batch]

    def _outcome(self, number: int) -> Outcome:
        cache, begin = self.caches[number], time.perf_counter()
        known = cache.has({})
        try:
            cache.get({})
        except ScorenetError as error:
            return failure(error_line(error))
        return Outcome({"seconds": 0.0 if known else time.perf_counter() - begin})


@dataclass(frozen=True)
class FoldModels:
    """The models of all folds in order, their folders, and the seconds that each took (0: it was there)."""

    models: tuple[ScoreModel, ...]
    paths: tuple[Path, ...]
    seconds: tuple[float, ...]
    caches: tuple[ModelCache, ...]

    @classmethod
    def trained(
        cls,
        folds: Sequence[FoldDates],
        caches: tuple[ModelCache, ...],
        executor: Executor,
        *,
        warm: bool,
        progress: bool,
    ) -> FoldModels:
        """Train what is missing; with `warm`, each begins with the weights of the one before, one after the other.

        Raises:
            FoldFailed: a model cannot be trained; the message names the fold.
            ExecutorError: no worker can be started.
        """
        with progress_bar(total=len(folds), name="fold models", unit="model", shown=progress) as bar:
            if warm:
                seconds, caches = _chain(folds, caches, bar)
            else:
                seconds = _side_by_side(folds, caches, executor, bar)
        models = tuple(cache.get({}) for cache in caches)
        return cls(models, tuple(cache.path({}) for cache in caches), tuple(seconds), caches)


def _side_by_side(
    folds: Sequence[FoldDates], caches: tuple[ModelCache, ...], executor: Executor, bar: Any
) -> list[float]:
    seconds = [0.0] * len(folds)
    missing = [number for number, cache in enumerate(caches) if not cache.has({})]
    bar.update(len(folds) - len(missing))
    if not missing:
        return seconds
    try:
        executor.start(FoldTrainer(caches))
        for number in missing:
            executor.submit(Chunk(number, ({"fold": number},)))
        for _ in missing:
            number, (outcome,) = executor.finished()
            seconds[number] = _checked(folds[number], outcome)
            bar.update()
    finally:
        executor.close()
    return seconds


def _chain(
    folds: Sequence[FoldDates], caches: tuple[ModelCache, ...], bar: Any
) -> tuple[list[float], tuple[ModelCache, ...]]:
    seconds, chained = [], []
    before: ScoreModel | None = None
    for fold, cache in zip(folds, caches, strict=True):
        own = replace(cache, warm_start=before)
        seconds.append(_checked(fold, *FoldTrainer((own,)).evaluate([{"fold": 0}])))
        before = own.get({})
        chained.append(own)
        bar.update()
    return seconds, tuple(chained)


def _checked(fold: FoldDates, outcome: Outcome) -> float:
    if outcome.status == FAILED:
        raise FoldFailed(f"{fold} has no model: {outcome.reason}")
    return float(outcome.metrics["seconds"] or 0.0)
