"""Load the bars that a command names, and describe them in the manifest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from feeds import BadSource, MissingData, load_bars
from feeds.bars.frame import data_hash, to_arrays
from feeds.bars.timeframes import from_ms, to_ms
from scorenet import Market, ScoreModel
from scorenet.base.times import iso
from scorenet.checkpoint import file_hash

__all__ = ["LoadOptions", "as_market", "describe", "describe_model", "load_markets"]


@dataclass(frozen=True, kw_only=True)
class LoadOptions:
    """Options of all commands that read bars; times are UTC, `since` inclusive, `until` exclusive."""

    since: str | None = None
    until: str | None = None
    data_dir: str = "data"
    offline: bool = False
    gaps: str = "raise"
    base_url: str | None = None
    progress: bool = True


def load_markets(sources: Sequence[str], options: LoadOptions, *, warmup_bars: int = 0) -> list[pd.DataFrame]:
    """Load one frame per source, with up to `warmup_bars` bars before `since`.

    Raises:
        BadSource: two sources are the same symbol, or their bar sizes differ.
        FeedError: as `feeds.load_bars`.
    """
    frames = [
        load_bars(
            source,
            since=options.since,
            until=options.until,
            warmup_bars=warmup_bars,
            data_dir=options.data_dir,
            offline=options.offline,
            gaps=options.gaps,  # type: ignore[arg-type]
            base_url=options.base_url,
            progress=options.progress,
        )
        for source in sources
    ]
    symbols = [frame.attrs["symbol"] for frame in frames]
    if len(set(symbols)) < len(symbols):
        raise BadSource(f"expected each symbol once, found {', '.join(symbols)}")
    timeframes = {frame.attrs["timeframe"] for frame in frames}
    if len(timeframes) > 1:
        raise BadSource(
            f"expected bars of one size, found {', '.join(sorted(timeframes))}; "
            "resample them, or run each size separately"
        )
    for frame, source in zip(frames, sources, strict=True):
        if not len(frame):
            raise MissingData(f"{source} has no bars in the range")
    return frames


def as_market(frame: pd.DataFrame) -> Market:
    """Convert a canonical frame to scorenet's `Market`: arrays by column."""
    bars: dict[str, Any] = to_arrays(frame)
    bars["timestamp"] = np.asarray(frame["timestamp"], dtype=np.int64)
    return Market(str(frame.attrs["symbol"]), bars, to_ms(frame.attrs["timeframe"]))


def describe(frame: pd.DataFrame, source: str) -> dict[str, Any]:
    """Return the manifest's entry for a series."""
    return {
        "source": source,
        "symbol": frame.attrs["symbol"],
        "timeframe": frame.attrs["timeframe"],
        "rows": len(frame),
        "start": iso(int(frame["timestamp"].iloc[0])),
        "end": iso(int(frame["timestamp"].iloc[-1])),
        "columns": [name for name in frame.columns if name != "timestamp"],
        "sha256": data_hash(frame),
    }


def describe_model(model: ScoreModel, path: Path) -> dict[str, Any]:
    """Return the manifest's entry for a model."""
    info = model.info
    return {
        "path": str(path),
        "sha256": file_hash(path),
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
