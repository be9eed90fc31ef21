"""The files of the best trial: its settings for another backtest, and the tables of its run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scorenet import ScoreModel

from ..engine import Result
from ..folder.rundir import RunDir
from ..folder.write import RunInputs, plain_settings, write_run
from ..settings import Account
from ..study import Settings, known_settings
from .plan import Prepared

__all__ = ["rerun", "write_best"]

FILE = "best.toml"


def best_model(prepared: Prepared, settings: Settings) -> str | None:
    """Return the folder of the model that these settings use."""
    changed = known_settings(prepared.setup.strategy).by_level(settings)["model"]
    if not changed or prepared.setup.models is None:
        return prepared.request.model
    return str(prepared.setup.models.path(changed))


def rerun(prepared: Prepared, folder: Path, settings: Settings) -> list[str]:
    """Return the words of the command that runs the best settings again; none for a user's own strategy."""
    request = prepared.request
    if request.strategy is not None:
        return []
    words = ["scorenet", "backtest", "--model", str(best_model(prepared, settings))]
    for source in request.bars:
        words += ["--bars", source]
    for name in ("since", "until", "calendar"):
        if getattr(request.load, name) is not None:
            words += [f"--{name}", getattr(request.load, name)]
    if request.load.data_dir != "data":
        words += ["--data-dir", request.load.data_dir]
    return [*words, "--config", str(folder / FILE), "--out", f"{request.out}-best"]


def write_best(
    folder: RunDir, prepared: Prepared, run: tuple[Result, Account, ScoreModel | None], extra: dict[str, Any]
) -> dict[str, Any]:
    """Write best.toml and the files of a run, with the figures of the search among its metrics."""
    result, account, model = run
    request, setup = prepared.request, prepared.setup
    params = {**setup.params, **{k: v for k, v in extra["best_settings"].items() if k in setup.params}}
    folder.write_toml(FILE, {"account": account.to_dict(), "strategy": plain_settings(params)})
    config = {
        "command": "optimize",
        "model": best_model(prepared, extra["best_settings"]),
        "bars": list(request.bars),
        "since": request.load.since,
        "until": request.load.until,
        "calendar": request.load.calendar,
        "account": account.to_dict(),
        "strategy": params,
        "search": {
            "space": list(request.dimensions),
            "constraints": list(request.constraints),
            "sampler": request.sampler_name,
            "trials": request.trials,
            "objectives": list(request.objectives),
            "seed": request.seed,
            "holdout": request.holdout,
            "strategy": request.strategy,
        },
    }
    inputs = RunInputs(
        command=request.command,
        config=config,
        model=model,
        frames=setup.frames,
        sources=request.bars,
        account=account,
        start=setup.start,
    )
    return write_run(folder, inputs, result, extra=extra)
