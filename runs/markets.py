"""Load the bars that a command names, and describe them in the manifest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from feeds import BadSource, MissingData, load_bars
from feeds.bars.frame import data_hash, to_arrays
from feeds.bars.timeframes import to_ms
from scorenet import Market
from scorenet.base.times import iso

__all__ = ["LoadOptions", "as_market", "cut", "describe", "load_markets"]


@dataclass(frozen=True, kw_only=True)
class LoadOptions:
    """Options of all commands that read bars; times are UTC, `since` inclusive, `until` exclusive.

    `calendar` is the trading calendar of bar files, whose market closes; other sources know theirs.
    """

    since: str | None = None
    until: str | None = None
    data_dir: str = "data"
    offline: bool = False
    gaps: str = "raise"
    base_url: str | None = None
    progress: bool = True
    calendar: str | None = None


def load_markets(sources: Sequence[str], options: LoadOptions, *, warmup_bars: int = 0) -> list[pd.DataFrame]:
    """Load one frame per source, with up to `warmup_bars` bars before `since`.

    Raises:
        BadSource: two sources are the same symbol, or their bar sizes or calendars differ.
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
            calendar=options.calendar,
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
    calendars = {frame.attrs.get("calendar") for frame in frames}
    if len(calendars) > 1:
        found = ", ".join(
            f"{frame.attrs['symbol']} {frame.attrs.get('calendar') or 'without one'}" for frame in frames
        )
        raise BadSource(f"expected bars of one trading calendar, found {found}; run each market separately")
    for frame, source in zip(frames, sources, strict=True):
        if not len(frame):
            raise MissingData(f"{source} has no bars in the range")
    return frames


def cut(frame: pd.DataFrame, since: int | None, until: int | None) -> pd.DataFrame:
    """Return the bars that open in [since, until), UTC ms; None leaves that side open."""
    opens = frame["timestamp"].to_numpy(np.int64)
    low = 0 if since is None else int(np.searchsorted(opens, since))
    high = len(opens) if until is None else int(np.searchsorted(opens, until))
    part = frame.iloc[low:high].reset_index(drop=True)
    part.attrs = dict(frame.attrs)
    return part


def as_market(frame: pd.DataFrame) -> Market:
    """Convert a canonical frame to scorenet's `Market`: arrays by column."""
    bars: dict[str, Any] = to_arrays(frame)
    bars["timestamp"] = np.asarray(frame["timestamp"], dtype=np.int64)
    step, calendar = to_ms(frame.attrs["timeframe"]), frame.attrs.get("calendar")
    return Market(str(frame.attrs["symbol"]), bars, step, calendar)


def describe(frame: pd.DataFrame, source: str) -> dict[str, Any]:
    """Return the manifest's entry for a series."""
    return {
        "source": source,
        "symbol": frame.attrs["symbol"],
        "timeframe": frame.attrs["timeframe"],
        **({"calendar": frame.attrs["calendar"]} if frame.attrs.get("calendar") else {}),
        "rows": len(frame),
        "start": iso(int(frame["timestamp"].iloc[0])),
        "end": iso(int(frame["timestamp"].iloc[-1])),
        "columns": [name for name in frame.columns if name != "timestamp"],
        "sha256": data_hash(frame),
    }
