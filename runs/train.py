"""`scorenet train`: train a model on bars and write the model folder."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from feeds.bars.frame import CALENDAR_HINT
from feeds.bars.sessions.spacing import rests_at_weekends
from scorenet import CheckpointError, Market, ModelConfig, ScoreModel, TooFewBars, feature_set, learn
from scorenet.base.times import iso
from scorenet.bindings import check_names

from .folder.manifest import versions
from .markets import LoadOptions, as_market, describe, load_markets
from .plugins import loaded_plugins

__all__ = ["check_writable", "train", "train_frames"]


def train(
    sources: Sequence[str],
    out: str | Path,
    config: ModelConfig,
    options: LoadOptions,
    *,
    device: str = "auto",
    threads: int | None = None,
    warm_start: str | Path | None = None,
) -> dict[str, Any]:
    """Train on the bars of one or several sources and write the model folder; return a summary for the terminal.

    `device` ("auto", "cpu" or "cuda") and `threads` are those of `scorenet.learn`; `warm_start` is the folder of the
    model whose weights the training begins with.

    Raises:
        FeedError: when the bars cannot be loaded.
        ConfigError: when a setting names something that is not registered, or the device is missing.
        ScorenetError: when the bars cannot be used for training; nothing is written then.
        CheckpointError: when the folder cannot be written, or `warm_start` has no model.
    """
    target = Path(out)
    check_names(config)
    check_writable(target)
    start = None if warm_start is None else ScoreModel.load(warm_start)
    frames = load_markets(sources, options)
    started = time.perf_counter()
    model = train_frames(
        frames,
        sources,
        config,
        device=device,
        threads=threads,
        warm_start=start,
        progress=options.progress,
    )
    seconds = time.perf_counter() - started
    model.save(target)
    return summary(model, target) | {"seconds": round(seconds, 1)}


def train_frames(
    frames: Sequence[pd.DataFrame],
    sources: Sequence[str],
    config: ModelConfig,
    *,
    device: str = "auto",
    threads: int | None = None,
    warm_start: ScoreModel | None = None,
    progress: bool = True,
) -> ScoreModel:
    """Train on canonical frames; the model says what it was trained on, by `sources` and hashes."""
    data = [describe(frame, source) for frame, source in zip(frames, sources, strict=True)]
    info = {"data": data, "timeframe": frames[0].attrs["timeframe"], "versions": versions()}
    if loaded_plugins():
        info["plugins"] = loaded_plugins()
    markets = [as_market(frame) for frame in frames]
    return _learn(
        markets,
        config,
        info=info,
        device=device,
        threads=threads,
        warm_start=warm_start,
        progress=progress,
    )


def _learn(markets: list[Market], config: ModelConfig, **options: Any) -> ScoreModel:
    """Train, and say what would help where there are too few bars."""
    try:
        return learn(markets, config, **options)
    except TooFewBars as error:
        hint = _help(error, markets[0], config)
        raise (TooFewBars(error.need, error.have, hint) if hint else error) from error


def _help(error: TooFewBars, market: Market, config: ModelConfig) -> str:
    """Return what the bars are too few for, with the feature set or the market's days that explain it; "" without."""
    purpose = str(error).removeprefix("too few bars to ").partition(": need ")[0]
    if market.calendar is None and rests_at_weekends(np.asarray(market.bars["timestamp"], dtype=np.int64)):
        return (
            f"{purpose} (the market rests at weekends, and no state is computed across missing bars; "
            f"{CALENDAR_HINT})"
        )
    least, own = feature_set("chapter").lookback, feature_set(config.features).lookback
    if own <= least:
        return ""
    years = error.need / market.clock.bars_per_year
    return (
        f"{purpose} ({years:.1f} years of these bars; --features chapter looks back {least} bars instead of {own} and "
        "needs far fewer)"
    )


def summary(model: ScoreModel, path: Path) -> dict[str, Any]:
    """Return what `scorenet train` prints."""
    info = model.info
    return {
        "model": str(path),
        "fingerprint": model.fingerprint,
        "symbols": info["symbols"],
        "timeframe": info["timeframe"],
        **({"calendar": model.calendar} if model.calendar else {}),
        "features": list(model.features.names),
        "rows": info["rows"],
        "training_span": [iso(t) for t in info["training_span"]],
        "test_span": [iso(t) for t in info["test_span"]],
        "refit": info["refit"],
        "metrics_from": [iso(t) for t in info["metrics_from"]],
        "metrics": info["metrics"],
        "regimes": None if model.regime_map is None else list(model.regime_map.names),
    }


def check_writable(target: Path) -> None:
    """Check the output folder before training, not after minutes of it."""
    if target.is_file():
        raise CheckpointError(
            f"expected --out to name a model folder, found the file {target}; choose another --out"
        )
    try:
        if target.is_dir() and any(target.iterdir()) and not (target / "model.json").is_file():
            raise CheckpointError(f"{target} exists and is not a model folder; choose another --out")
        # The folder is not created yet, so that a failed training leaves nothing behind.
        existing = next(folder for folder in target.absolute().parents if folder.exists())
        with tempfile.TemporaryDirectory(prefix=".probe-", dir=existing):
            pass
    except OSError as error:
        raise CheckpointError(f"cannot write the model to {target}: {error.strerror or error}") from error
