"""The manifest of a run, for reproducibility: command, data, model, configuration, versions, seed."""

from __future__ import annotations

import datetime as dt
import platform
import shlex
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scorenet import ScoreModel

__all__ = ["manifest", "model_entry", "versions"]

_PACKAGES = ("scorenet", "torch", "numpy", "pandas", "backtrader")


def versions() -> dict[str, str | None]:
    """Return the versions of Python and of each package that affects results; None for a missing package."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = None
    return found


def manifest(
    command: str | Sequence[str],
    config: Mapping[str, object],
    data: Sequence[Mapping[str, object]],
    model: Mapping[str, object] | None,
    seed: int | None,
    warnings: Sequence[str] = (),
    *,
    plugins: Sequence[Mapping[str, str]] = (),
    created: dt.datetime | None = None,
) -> dict[str, object]:
    """Return the content of manifest.json.

    Args:
        command: the command line, as one string or as its words.
        config: the resolved configuration.
        data: one mapping per series: source, symbol, timeframe, rows, start, end, sha256.
        model: path, sha256 and further names of the model; None for a run without a model.
        seed: the seed of all random numbers of the run.
        warnings: sentences that the report must show.
        plugins: path and sha256 of each plug-in file that the run loaded.
        created: time of the run, now when left out; an aware datetime.
    """
    moment = (created or dt.datetime.now(dt.UTC)).astimezone(dt.UTC)
    return {
        "command": command if isinstance(command, str) else shlex.join(command),
        "created": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "seed": seed,
        "versions": versions(),
        "data": [dict(series) for series in data],
        "model": None if model is None else dict(model),
        "plugins": [dict(plugin) for plugin in plugins],
        "config": dict(config),
        "warnings": list(warnings),
    }


def model_entry(model: ScoreModel, path: str | Path | None) -> dict[str, Any]:
    """Return the manifest's entry for a model; `path` is its folder, None if it was never saved."""
    from feeds.bars.timeframes import from_ms
    from scorenet.checkpoint import file_hash

    info = model.info
    return {
        "path": None if path is None else str(path),
        "sha256": None if path is None else file_hash(Path(path)),
        "fingerprint": model.fingerprint,
        "features": list(model.features.names),
        "lookback": model.lookback,
        "horizon": model.config.forward.horizon,
        "symbols": info["symbols"],
        "timeframe": from_ms(int(info["bar_ms"])),
        "training_span": info["training_span"],
        "calibration_span": info["calibration_span"],
        "metrics_from": info.get("metrics_from", info["test_span"]),
        "refit": info.get("refit", False),
    }
