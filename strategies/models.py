"""Load models for strategies and indicators; each model folder is read only once per process."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from scorenet import Evaluation, ScoreModel
from scorenet.score.training import limit_worker_threads

__all__ = ["precompute", "resolve_model"]

_loaded: dict[tuple[str, tuple[int, ...]], ScoreModel] = {}


def resolve_model(model: ScoreModel | str | Path) -> ScoreModel:
    """Return `model` itself, or the model in the folder `model`.

    Raises:
        CheckpointError: the folder has no valid model.
        TypeError: `model` is neither a model nor a folder.
    """
    limit_worker_threads()
    if isinstance(model, ScoreModel):
        return model
    if not isinstance(model, str | Path):
        raise TypeError(
            f"model: expected a model folder or a ScoreModel, found {model!r}; "
            "make one with `scorenet train` and pass model='models/...'"
        )
    path = Path(model).resolve()
    # With inode and size: a folder that was copied in place may have the times of the one before.
    found = [file.lstat() for file in sorted(path.glob("model.*"))]
    stamps = tuple(number for file in found for number in (file.st_mtime_ns, file.st_ino, file.st_size))
    key = (str(path), stamps)
    if key not in _loaded:
        _loaded[key] = ScoreModel.load(path)
    return _loaded[key]


def precompute(
    model: ScoreModel | str | Path,
    bars: Mapping[str, NDArray[Any]],
    signal: str = "forward",
    *,
    tails: bool = False,
) -> Evaluation:
    """Evaluate a model on bars (columns [T], "timestamp" = bar open, UTC ms) and cache the outputs for the next runs.

    Strategies in this process use the cached outputs, and so do the workers that `cerebro.run(maxcpus=...)` forks. So a
    sweep over thresholds evaluates the networks once, not once per worker. `position_rule="cvar"` needs `tails`.
    """
    resolved = resolve_model(model)
    step = int(resolved.info["bar_ms"])
    columns = {name: bars[name] for name in resolved.features.inputs if name in bars}
    return resolved.evaluate({**columns, "timestamp": bars["timestamp"] + step}, signal, step, tails=tails)
