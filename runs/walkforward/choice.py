"""The settings of each fold: the best of a study on its validation part, which the model has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from feeds.bars.timeframes import to_ms
from scorenet import ConfigError, ScoreModel

from ..markets import cut, describe
from ..optimize.plan import evaluator_of, sampler_of
from ..plugins import plugin_identity
from ..study import Objectives, Plan, Study, TrialSetup, known_settings
from ..study.journal import FILE, Row
from ..study.model_cache import ModelCache
from ..study.replay import not_replayed
from .dates import FoldDates
from .models import FoldFailed
from .request import WalkRequest, WalkSettings

__all__ = ["FOLDS", "Choice", "choose"]

FOLDS = "folds"
"""The folder in RUN_DIR with the study of each fold."""


@dataclass(frozen=True, eq=False)
class Choice:
    """What one fold chose, and what it chose from.

    Attributes:
        settings: values of the searched settings; empty where nothing is chosen.
        rows: every trial on the validation part, in order; empty where nothing is chosen.
        model: the model that trades the test part.
        path: its folder.
        number: of the chosen trial; None where nothing is chosen.
    """

    settings: dict[str, Any]
    rows: tuple[Row, ...]
    model: ScoreModel
    path: Path
    number: int | None = None

    @property
    def best(self) -> Row | None:
        """Return the row of the chosen trial."""
        return next((row for row in self.rows if row["number"] == self.number), None)


def choose(
    fold: FoldDates,
    frames: Sequence[pd.DataFrame],
    request: WalkRequest,
    settings: WalkSettings,
    model: ScoreModel,
    cache: ModelCache,
) -> Choice:
    """Search on the validation part of a fold and return the best; it is the fold's model and its settings.

    Raises:
        FoldFailed: no trial ran to its end.
        ConfigError, ExecutorError, RunDirError: as `Study`.
    """
    assert settings.space is not None  # noqa: S101 - the request is checked
    setup, objectives = _setup(fold, frames, settings, model, cache), Objectives((request.objective,))
    folder = Path(request.out) / FOLDS / f"{fold.number:03d}"
    study = Study(
        settings.space,
        evaluator_of(
            setup,
            settings.space,
            replayed=_replayed(setup, request, settings),
            threads=request.replay_threads,
        ),
        sampler_of(request.sampler_name, settings.space, request.seed, objectives),
        request.new_executor(),
        plan=Plan(objectives=objectives, identity=_identity(fold, request, settings, setup)),
        folder=folder,
        resume=request.resume and (folder / FILE).is_file(),
    )
    study.run(request.trials)
    if study.best is None:
        raise FoldFailed(f"{fold} has no settings: none of its {study.n_trials:,} trials ran to its end")
    chosen = study.settings(study.best)
    rows = tuple(study.journal.rows())
    changed = known_settings(None).by_level(chosen)["model"]
    own = cache.get(changed) if changed else model
    return Choice(chosen, rows, own, cache.path(changed), study.best["number"])


def _replayed(setup: TrialSetup, request: WalkRequest, settings: WalkSettings) -> bool:
    """Return whether the trials are replayed; the compiled replay covers less than Cerebro."""
    if request.evaluator == "cerebro" or settings.space is None:
        return False
    reason = not_replayed(setup, settings.space)
    if reason is not None and request.evaluator == "replay":
        raise ConfigError(
            f"--evaluator replay: {reason}; leave the option out, and the trials run in Cerebro"
        )
    return reason is None


def _setup(
    fold: FoldDates,
    frames: Sequence[pd.DataFrame],
    settings: WalkSettings,
    model: ScoreModel,
    cache: ModelCache,
) -> TrialSetup:
    assert fold.validation is not None  # noqa: S101 - `choose` has checked it
    since, until = fold.validation
    parts = [cut(frame, None, until) for frame in frames]
    known = tuple(part for part in parts if len(part) and int(part["timestamp"].iloc[-1]) >= since)
    if not known:
        raise ConfigError(f"{fold}: no symbol has bars in its validation part")
    return TrialSetup(
        frames=known,
        account=settings.account,
        params=settings.params,
        model=model,
        start=since + to_ms(known[0].attrs["timeframe"]),
        models=cache,
    )


def _identity(
    fold: FoldDates, request: WalkRequest, settings: WalkSettings, setup: TrialSetup
) -> dict[str, Any]:
    space = settings.space
    assert space is not None  # noqa: S101 - `choose` has checked it
    assert setup.model is not None  # noqa: S101 - it is the fold's
    return {
        "space": {name: repr(dimension) for name, dimension in space.dimensions.items()},
        "constraints": [constraint.text for constraint in space.constraints],
        "sampler": request.sampler_name,
        "seed": request.seed,
        "objective": request.objective,
        "account": settings.account.to_dict(),
        "strategy": dict(settings.params),
        "model": setup.model.fingerprint,
        "validation": list(fold.validation or ()),
        "bars": {str(frame.attrs["symbol"]): describe(frame, "")["sha256"] for frame in setup.frames},
        **plugin_identity(),
    }
