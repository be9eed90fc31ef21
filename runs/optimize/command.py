"""Run a search from its options to its run folder."""

from __future__ import annotations

import shlex
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from feeds.bars.frame import clock_of_frame
from scorenet import ScorenetError

from ..engine import benchmark
from ..folder.errors import NotARunDir
from ..folder.rundir import RunDir
from ..study import Study, daily_returns
from ..study.journal import FILE, Row, exists
from ..study.outcome import COMPLETE
from ..study.table import setting_kinds, write_table
from ..study.worth import judge
from ..surface import summary
from .best import rerun, write_best
from .confirm import confirm
from .held_out import judge_held_out
from .plan import Prepared, prepare
from .progress import Progress
from .request import Request

__all__ = ["StudyFailed", "optimize"]


class StudyFailed(ScorenetError, RuntimeError):
    """Report a search without a trial that ran to its end."""


def optimize(request: Request) -> dict[str, Any]:
    """Search, confirm and judge the best, write the run folder and its report; return metrics.json's content.

    Each trial is written to RUN_DIR/trials.journal as it ends, and `Request.resume` goes on from there.

    Raises:
        ConfigError: an option is impossible, or a resumed study was begun with others.
        StudyFailed: no trial ran to its end.
        ReplayMismatch: the compiled replay and Cerebro differ for one of the best.
        FeedError, ScorenetError, RunDirError: an error of the bars, the model, the workers or the folder.
    """
    folder = _check_out(request)
    prepared = prepare(request)
    study = Study(
        prepared.space,
        prepared.evaluator,
        prepared.sampler(),
        prepared.executor(),
        plan=prepared.plan,
        folder=folder,
        resume=request.resume,
    )
    _say(announcement(prepared))
    try:
        _search(study, prepared)
    finally:
        if not len(study.journal):
            _remove_empty(study, folder)
    if study.best is None:
        raise StudyFailed(_why_none(study, folder))
    return _finish(study, prepared, RunDir(folder), study.best)


def _remove_empty(study: Study, folder: Path) -> None:
    """Remove the journal of a study without a trial, and the folder if that was all: there is nothing to resume."""
    study.journal.discard()
    with suppress(OSError):  # the folder has other files, or is gone
        folder.rmdir()


def announcement(prepared: Prepared) -> str:
    """Return what will be done, and how long it takes where that is long."""
    request, space = prepared.request, prepared.space
    most = prepared.sampler().at_most
    trials = most if request.trials is None else min(request.trials, most or request.trials)
    settings = ", ".join(space.dimensions)
    text = f"{trials:,} trials of {settings} on {len(prepared.spans.closes):,} bars"
    if prepared.spans.held_out is not None:
        text += ", the rest held out"
    if not prepared.why:
        return (
            f"{text}\n--prune has no effect: a replayed trial is too short to stop" if request.prune else text
        )
    return (
        f"{text}\n{prepared.why}; a trial is a real Cerebro run, about {_seconds(prepared):.1f} s on one core"
    )


def _seconds(prepared: Prepared) -> float:
    # 60 microseconds a bar and symbol were measured for ScoreStrategy with all analyzers.
    return sum(len(frame) for frame in prepared.setup.frames) * 60e-6


def _search(study: Study, prepared: Prepared) -> None:
    request = prepared.request
    total = request.trials if request.trials is not None else study.sampler.at_most
    with Progress(total or 0, shown=request.load.progress) as progress:
        study.run(request.trials, told=progress.told)


def _finish(study: Study, prepared: Prepared, folder: RunDir, best: Row) -> dict[str, Any]:
    result, account, model = confirm(study, prepared)
    held = benchmark(prepared.setup.frames, prepared.setup.account, prepared.setup.start).equity
    market = daily_returns(held["time"].astype("datetime64[ms, UTC]").astype(np.int64), held["equity"])
    worth = judge(study.journal, market, clock_of_frame(prepared.setup.frames[0]).days_per_year)
    held_out, table = judge_held_out(study, prepared)
    kinds = setting_kinds(prepared.space)
    write_table(folder.path / "trials.parquet", study.journal.rows(), kinds)
    folder.write_frame("held_out", table)
    trials = folder.read_frame("trials")
    extra: dict[str, Any] = {
        **worth.to_metrics(),
        "best_trial": best["number"],
        "best_settings": best["params"],
        "objectives": list(study.plan.objectives.names),
        "front": [int(trials["number"].iloc[place]) for place in _front(study, trials)],
        "n_failed": int((trials["status"] == "failed").sum()),
        "n_pruned": int((trials["status"] == "pruned").sum()),
        "held_out": held_out,
        "surface": summary(
            trials,
            study.plan.objectives.names[0],
            best["number"],
            smaller=study.plan.objectives.directions[0] == "minimize",
        ),
        "rerun": shlex.join(rerun(prepared, Path(prepared.request.out), study.settings(best))),
    }
    return write_best(folder, prepared, (result, account, model), extra)


def _front(study: Study, trials: Any) -> list[int]:
    """Return the trials that no other dominates, where there are several objectives."""
    if len(study.plan.objectives.names) < 2:
        return []
    rows = trials[list(study.plan.objectives.names)].where(trials["status"] == COMPLETE).to_dict("records")
    return sorted(study.plan.objectives.front(rows))


def _check_out(request: Request) -> Path:
    folder = Path(request.out).resolve()
    if folder.is_file():
        raise NotARunDir(f"{request.out} is a file; choose another --out")
    if request.resume:
        if not exists(folder):
            raise NotARunDir(
                f"{request.out} holds no study to resume: it has no {FILE}; leave out --resume to begin one"
            )
        return folder
    if exists(folder):
        raise NotARunDir(f"{request.out} holds a study already; go on with --resume, or choose another --out")
    if folder.is_dir() and any(folder.iterdir()):
        raise NotARunDir(
            f"{request.out} is not empty; a study needs a folder of its own: choose another --out"
        )
    return folder


def _why_none(study: Study, folder: Path) -> str:
    counts: dict[str, int] = {}
    for row in study.journal.rows():
        text = row["reason"] or f"{study.plan.objectives.names[0]} is undefined"
        counts[text] = counts.get(text, 0) + 1
    most = max(counts, key=lambda text: counts[text])
    return (
        f"none of the {study.n_trials:,} trials ran to its end; most often ({counts[most]:,}): {most}; "
        f"all reasons are in {folder / FILE}"
    )


def _say(text: str) -> None:
    print(text, file=sys.stderr)
