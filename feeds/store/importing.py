"""Import bars from other sources into the store, in the form of bars from the exchange."""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..bars.frame import MARK_COLUMNS, find_gaps
from ..bars.ranges import Range, merge, subtract
from ..bars.sessions.closed import check_past
from ..bars.timeframes import to_ms
from ..bars.times import iso
from .keys import SeriesKey, stored_kind
from .series_store import SeriesWriter, write_series
from .sessions import calendar_folder

__all__ = ["store_bars"]

_log = logging.getLogger("feeds")


def store_bars(frame: pd.DataFrame, *, data_dir: str | Path, exchange: str = "bybit") -> int:
    """Store a canonical frame; return how many stored rows had other values, which is also a warning.

    Its funding, open interest and mark prices become separate series.

    Bars with a trading calendar are stored under its name in place of the exchange's.

    Only what the frame contains is recorded as known: its bars, and the bars of which it has a settlement or an open
    interest. A later fetch requests everything else from the exchange. Forward-filled bars are not stored, because they
    contain no trades.

    Raises:
        StoreError: the store cannot be written.
        BadSource: the calendar is not that of an exchange.
        BadBars: a bar opens in the future.
    """
    check_past(frame)
    exchange = calendar_folder(frame.attrs["calendar"]) if frame.attrs.get("calendar") else exchange
    symbol, timeframe = frame.attrs["symbol"], frame.attrs["timeframe"]
    step = to_ms(timeframe)
    real = frame[~frame["filled"]] if "filled" in frame else frame
    times = real["timestamp"].to_numpy()
    span = (int(times[0]), int(times[-1]) + step)
    holes = [(gap.start, gap.end) for gap in find_gaps(real, timeframe)]
    rows = {name: real[name].to_numpy() for name in ("timestamp", "open", "high", "low", "close", "volume")}
    replaced = 0
    with write_series(data_dir, SeriesKey(exchange, symbol, timeframe)) as writer:
        replaced += _other_values(writer, rows, f"{timeframe} bars of {symbol}")
        _write_bars(writer, rows, subtract(span, holes))
    if MARK_COLUMNS[0] in real:
        marks = {name.removeprefix("mark_"): real[name].to_numpy() for name in MARK_COLUMNS}
        with write_series(data_dir, SeriesKey(exchange, symbol, stored_kind("mark", timeframe))) as writer:
            marks = {"timestamp": times, **marks}
            replaced += _other_values(writer, marks, f"mark prices of {symbol}")
            _write_bars(writer, marks, subtract(span, holes))
    for kind, column in (("funding", "funding_rate"), ("open_interest", "open_interest")):
        if column not in real:
            continue
        values = real[column].to_numpy()
        known = times[values != 0.0].astype(np.int64)
        covered = _settled(known, step) if kind == "funding" else _published(known, step)
        if not covered:
            _log.warning("%s: the column %s has no value and is not stored", symbol, column)
            continue
        with write_series(data_dir, SeriesKey(exchange, symbol, stored_kind(kind, timeframe))) as writer:
            rates = {"timestamp": known, column: values[values != 0.0]}
            replaced += _other_values(writer, rates, f"rows of {kind.replace('_', ' ')} of {symbol}")
            for start, end in covered:
                inside = (known >= start) & (known < end)
                writer.write({name: found[inside] for name, found in rates.items()}, (start, end))
    return replaced


def _other_values(writer: SeriesWriter, rows: dict[str, NDArray[Any]], what: str) -> int:
    """Return how many stored rows have other values than those that will replace them; say it if there are any."""
    times = rows["timestamp"]
    old = writer.read(int(times[0]), int(times[-1]) + 1).columns
    shared, mine, stored = np.intersect1d(times, old["timestamp"], return_indices=True)
    unlike = np.zeros(len(shared), dtype=bool)
    for name, values in rows.items():
        unlike |= values[mine] != old[name][stored]
    if not unlike.any():
        return 0
    row = int(np.argmax(unlike))
    _log.warning(
        "%d of %d stored %s had other values, the first at %s (%s); those of the file replace them. To have the "
        "exchange's again, delete %s and download",
        int(unlike.sum()),
        len(shared),
        what,
        iso(int(shared[row])),
        ", ".join(
            f"{name} {old[name][stored[row]]:g}, now {values[mine[row]]:g}"
            for name, values in rows.items()
            if values[mine[row]] != old[name][stored[row]]
        ),
        writer.folder,
    )
    return int(unlike.sum())


def _write_bars(writer: SeriesWriter, rows: dict[str, NDArray[Any]], spans: Iterable[Range]) -> None:
    times = rows["timestamp"]
    for start, end in spans:
        inside = (times >= start) & (times < end)
        writer.write({name: values[inside] for name, values in rows.items()}, (start, end))


def _settled(known: NDArray[np.int64], step: int) -> list[Range]:
    """Return the ranges whose settlements the bars hold; `known` are the opens of bars with a rate.

    A bar holds the settlements since the previous bar's open. A bar without a rate proves nothing: its source may lack
    the settlement, so the next download asks for it.
    """
    return merge((int(start) - step + 1, int(start) + 1) for start in known)


def _published(known: NDArray[np.int64], step: int) -> list[Range]:
    """Return the ranges with an open interest; `known` are the opens of bars that have one."""
    return merge((int(start), int(start) + step) for start in known)
