"""`scorenet data`: list the store, check a source, import and export bars."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from feeds import find_gaps, load_bars, read_bars, write_bars
from feeds.bars.frame import clock_of_frame, data_hash
from feeds.bars.sessions.spacing import other_sizes, rests_at_weekends
from feeds.bars.timeframes import to_ms
from scorenet.base.times import iso

if TYPE_CHECKING:
    from feeds.bars.foreign import Hints
    from feeds.store.series_store import SeriesInfo

__all__ = ["check_source", "check_store", "export_bars", "import_bars", "list_rules", "list_store"]


def list_store(data_dir: str | Path) -> list[dict[str, Any]]:
    """Return one row per stored series: its name, time range and number of rows.

    `missing` counts missing bars between the first and the last; `unasked` counts those of them that were never
    requested from the exchange. Both are None for settlements, whose spacing changes.
    """
    from feeds.store.series_store import list_series

    return [
        {
            "exchange": series.key.exchange,
            "symbol": series.key.symbol,
            "kind": series.key.kind,
            "rows": series.rows,
            "start": None if series.first is None else iso(series.first),
            "end": None if series.last is None else iso(series.last),
            **_coverage(series),
        }
        for series in list_series(data_dir)
    ]


def _coverage(series: SeriesInfo) -> dict[str, int | None]:
    from feeds.bars.ranges import subtract
    from feeds.exchange.registry import EXCHANGES
    from feeds.store.sessions import calendar_of
    from scorenet import ConfigError
    from scorenet.calendars import clock_of

    if series.key.kind == "funding" or series.first is None or series.last is None:
        return {"missing": None, "unasked": None}
    step = to_ms(series.key.kind.rpartition("_")[2])
    end = series.last + step
    calendar = None if series.key.exchange in EXCHANGES else calendar_of(series.key.exchange)
    if calendar is not None:  # imported bars: every hole is one of the file
        try:
            due = len(clock_of(calendar, step).opens(series.first, series.last))
        except ConfigError:  # without exchange_calendars the store is still listed
            return {"missing": None, "unasked": None}
        return {"missing": due - series.rows, "unasked": due - series.rows}
    unasked = subtract((series.first, end), series.covered)
    return {
        "missing": (end - series.first) // step - series.rows,
        "unasked": sum(high - low for low, high in unasked) // step,
    }


def list_rules(data_dir: str | Path) -> list[dict[str, Any]]:
    """Return one row per stored instrument: its trading rules, and the time they were first seen."""
    from feeds.store.rules import list_instruments

    rows = []
    for stored in list_instruments(data_dir):
        rules = stored.instrument
        rows.append(
            {
                "exchange": stored.exchange,
                "symbol": rules.symbol,
                "category": rules.category,
                "tick": rules.tick,
                "lot_step": rules.lot_step,
                "min_quantity": rules.min_quantity,
                "max_quantity": rules.max_quantity,
                "min_notional": rules.min_notional,
                "funding_minutes": rules.funding_minutes,
                "as_of": iso(stored.as_of),
            }
        )
    return rows


def check_store(data_dir: str | Path) -> list[dict[str, Any]]:
    """Read every stored file and return one row per damaged file; no file is changed.

    Raises:
        StoreError: the folder or a file cannot be read.
    """
    from feeds.store.series_store import check

    return [{"path": str(damage.path), "reason": damage.reason} for damage in check(data_dir)]


def check_source(
    source: str, *, data_dir: str | Path, offline: bool, gaps: str = "keep", calendar: str | None = None
) -> dict[str, Any]:
    """Validate a source against the frame contract and report missing bars.

    Raises:
        BadBars: a row violates the contract; the message names the first one by row, column and time.
    """
    frame = load_bars(source, data_dir=data_dir, offline=offline, gaps=gaps, calendar=calendar)  # type: ignore[arg-type]
    holes = find_gaps(frame, frame.attrs["timeframe"])
    times = frame["timestamp"].to_numpy(dtype=np.int64)
    flat = (frame["volume"] == 0).sum()
    return {
        "source": source,
        "symbol": frame.attrs["symbol"],
        "timeframe": frame.attrs["timeframe"],
        "calendar": frame.attrs.get("calendar"),
        "rows": len(frame),
        "start": iso(int(frame["timestamp"].iloc[0])),
        "end": iso(int(frame["timestamp"].iloc[-1])),
        "columns": [name for name in frame.columns if name != "timestamp"],
        "missing_bars": sum(hole.missing for hole in holes),
        "holes": len(holes),
        "largest_hole": max((hole.missing for hole in holes), default=0),
        "rests_at_weekends": "calendar" not in frame.attrs and rests_at_weekends(times),
        "other_sizes": [
            {"timeframe": part.timeframe, "start": iso(part.start), "end": iso(part.end), "bars": part.bars}
            for part in other_sizes(
                times, to_ms(frame.attrs["timeframe"]), clock_of_frame(frame).trading_ms(times)
            )
        ],
        "gaps": [{"start": iso(hole.start), "end": iso(hole.end), "missing": hole.missing} for hole in holes],
        "zero_volume_bars": int(flat),
        "read_as": frame.attrs.get("read_as"),
        "sha256": data_hash(frame),
    }


def import_bars(
    path: str | Path,
    *,
    symbol: str,
    timeframe: str,
    data_dir: str | Path,
    gaps: str = "raise",
    hints: Hints | None = None,
    calendar: str | None = None,
) -> dict[str, Any]:
    """Read a bar file of any known program, validate it and store it; return a summary of the stored rows.

    `calendar` is the trading calendar of a market that closes; its bars are stored under it. `read_as` says which
    column was taken for which and how times were read; `replaced` counts stored rows that had other values; `source`
    names the stored bars.

    Raises:
        FeedError: when the file violates the contract or the store cannot be written.
    """
    from feeds.store.importing import store_bars

    frame = read_bars(path, symbol, timeframe, gaps, hints, calendar)  # type: ignore[arg-type]
    replaced = store_bars(frame, data_dir=data_dir)
    exchange = frame.attrs.get("calendar", "bybit")
    return {
        "symbol": symbol,
        "timeframe": timeframe,
        "rows": len(frame),
        "start": iso(int(frame["timestamp"].iloc[0])),
        "end": iso(int(frame["timestamp"].iloc[-1])),
        "replaced": replaced,
        "read_as": frame.attrs.get("read_as", "the columns and times of the contract"),
        "source": f"{exchange}:{symbol}@{timeframe}",
        "sha256": data_hash(frame),
    }


def export_bars(
    source: str,
    path: str | Path,
    *,
    data_dir: str | Path,
    offline: bool,
    gaps: str = "keep",
    calendar: str | None = None,
) -> dict[str, Any]:
    """Write the bars of a source to a parquet or CSV file; return a summary of the file."""
    frame: pd.DataFrame = load_bars(source, data_dir=data_dir, offline=offline, gaps=gaps, calendar=calendar)  # type: ignore[arg-type]
    write_bars(frame, path)
    return {"path": str(path), "rows": len(frame), "sha256": data_hash(frame)}
