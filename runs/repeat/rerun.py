"""`scorenet rerun`: run a stored backtest again and compare every table and figure with the stored ones."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from scorenet import ConfigError

from ..backtest import check_params, prepare, strategy_defaults, trade
from ..folder.frames import SCHEMAS
from ..folder.manifest import versions
from ..folder.rundir import RunDir
from ..folder.write import RunInputs, write_run
from ..markets import LoadOptions, describe
from ..plugins import loaded_plugins
from ..settings import run_settings
from .stated import check_stated

__all__ = ["rerun"]

_MOST = 20
"""Differences that are listed; the rest is counted."""


def rerun(run_dir: str | Path, *, model: str | None = None, data_dir: str | None = None) -> dict[str, Any]:
    """Run a stored backtest again; return whether it is equal, and what differs.

    `model` and `data_dir` say where model and bars are now, if they have moved. `causes` names what the run was made of
    and is not the same now: bars, model, plug-ins, versions; `differences` names what came out otherwise.

    Raises:
        RunDirError: the folder is no run, or is damaged.
        ConfigError: it is not the run of a backtest, or needs a plug-in that is not loaded.
        FeedError, ScorenetError: model or bars cannot be loaded.
    """
    stored = RunDir.open(run_dir)
    config, manifest = stored.read_config(), stored.read_manifest()
    path = stored.path / "config.toml"
    said = check_stated(config, path)
    missing = [key for key in ("model", "bars") if not said.get(key)]
    if missing:
        raise ConfigError(
            f"{path}: expected {' and '.join(missing)}, found nothing; it is not that of a backtest"
        )
    _check_plugins(manifest)
    account, params = run_settings(path, (), strategy_defaults())
    check_params(params)
    inputs = prepare(model or said["model"], said["bars"], account, params, _load(said, data_dir))
    causes = list(_causes(manifest, inputs))
    with tempfile.TemporaryDirectory(prefix="scorenet-rerun-") as folder:
        again = RunDir(Path(folder))
        write_run(again, inputs, trade(inputs), page=False)
        found = list(_differences(stored, again))
    return {
        "run": str(run_dir),
        "equal": not found,
        "values": sum(frame.size for frame in map(stored.read_frame, SCHEMAS)),
        "causes": causes,
        "differences": found[:_MOST],
        "n_differences": len(found),
    }


def _load(said: Mapping[str, Any], data_dir: str | None) -> LoadOptions:
    return LoadOptions(
        since=said.get("since"),
        until=said.get("until"),
        gaps=said.get("gaps", "raise"),
        data_dir=data_dir or said.get("data_dir", "data"),
        offline=True,
        progress=False,
        calendar=said.get("calendar"),
    )


def _check_plugins(manifest: Mapping[str, Any]) -> None:
    """Refuse to run without the run's plug-ins; a folder must not make the command run a file by naming it."""
    loaded = {plugin["sha256"] for plugin in loaded_plugins()}
    for plugin in manifest.get("plugins") or []:
        if plugin.get("sha256") not in loaded:
            digest = str(plugin.get("sha256"))[:12]
            raise ConfigError(
                f"the run loaded the plug-in {plugin.get('path')} (sha256 {digest}); look at it, then add --plugin "
                "with it"
            )


def _causes(manifest: Mapping[str, Any], inputs: RunInputs) -> Iterator[str]:
    """Name what the run was made of and is not the same now."""
    before = {series.get("symbol"): series.get("sha256") for series in manifest.get("data") or []}
    for frame, source in zip(inputs.frames, inputs.sources, strict=True):
        now = describe(frame, source)
        if before.get(now["symbol"]) != now["sha256"]:
            yield f"the bars of {now['symbol']} are others now"
    model = (manifest.get("model") or {}).get("fingerprint")
    own = None if inputs.model is None else inputs.model.fingerprint
    if model != own:
        yield f"the model is another now: fingerprint {str(own)[:12]}, stored {str(model)[:12]}"
    for name, version in (manifest.get("versions") or {}).items():
        if versions().get(name) != version:
            yield f"{name} is {versions().get(name)} now, stored {version}"


def _differences(stored: RunDir, again: RunDir) -> Iterator[str]:
    for name in SCHEMAS:
        yield from _in_table(name, stored.read_frame(name), again.read_frame(name))
    yield from _in_figures("metrics.json", stored.read_metrics(), again.read_metrics())


def _in_table(name: str, before: pd.DataFrame, now: pd.DataFrame) -> Iterator[str]:
    if len(before) != len(now):
        yield f"{name}: {len(before):,} rows, now {len(now):,}"
        return
    if list(before.columns) != list(now.columns):
        yield f"{name}: columns {', '.join(before.columns)}, now {', '.join(now.columns)}"
        return
    for column in before.columns:
        old, new = before[column], now[column]
        same = (old == new).to_numpy(dtype=bool, na_value=False) | (old.isna() & new.isna()).to_numpy()
        if not same.all():
            row = int(np.argmin(same))
            yield f"{name}.{column}: {int((~same).sum()):,} rows, first row {row}: {old.iloc[row]}, now {new.iloc[row]}"


def _in_figures(name: str, before: Any, now: Any) -> Iterator[str]:
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for key in dict.fromkeys([*before, *now]):
            yield from _in_figures(f"{name} {key}", before.get(key), now.get(key))
    elif before != now:
        yield f"{name}: {_short(before)}, now {_short(now)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
