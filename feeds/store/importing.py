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
from ..bars.settlements import funding_holes
from ..bars.timeframes import to_ms
from .keys import SeriesKey, stored_kind
from .series_store import SeriesWriter, write_series

__all__ = ["store_bars"]

_log = logging.getLogger("feeds")


def store_bars(frame: pd.DataFrame, *, data_dir: str | Path, exchange: str = "bybit") -> None:
    """Store a canonical frame; its funding, open interest and mark prices become separate series.

    Gaps are not recorded as empty, so a later fetch requests them from the exchange: gaps between bars, bars without an
    open interest, and spans in which settlements are due and the column has none. Forward-filled bars are not stored,
    because they contain no trades.

    Raises:
        StoreError: the store cannot be written.
    """
    symbol, timeframe = frame.attrs["symbol"], frame.attrs["timeframe"]
    step = to_ms(timeframe)
    real = frame[~frame["filled"]] if "filled" in frame else frame
    times = real["timestamp"].to_numpy()
    span = (int(times[0]), int(times[-1]) + step)
    holes = [(gap.start, gap.end) for gap in find_gaps(real, timeframe)]
    rows = {name: real[name].to_numpy() for name in ("timestamp", "open", "high", "low", "close", "volume")}
    with write_series(data_dir, SeriesKey(exchange, symbol, timeframe)) as writer:
        _write_bars(writer, rows, subtract(span, holes))
    if MARK_COLUMNS[0] in real:
        marks = {name.removeprefix("mark_"): real[name].to_numpy() for name in MARK_COLUMNS}
        with write_series(data_dir, SeriesKey(exchange, symbol, stored_kind("mark", timeframe))) as writer:
            _write_bars(writer, {"timestamp": times, **marks}, subtract(span, holes))
    for kind, column in (("funding", "funding_rate"), ("open_interest", "open_interest")):
        if column not in real:
            continue
        values = real[column].to_numpy()
        known = times[values != 0.0].astype(np.int64)
        covered = _settled(known, span, step) if kind == "funding" else _published(known, span, step)
        if not covered:
            _log.warning("%s: the column %s has no value and is not stored", symbol, column)
            continue
        with write_series(data_dir, SeriesKey(exchange, symbol, stored_kind(kind, timeframe))) as writer:
            for start, end in covered:
                inside = (known >= start) & (known < end)
                rates = values[values != 0.0][inside]
                writer.write({"timestamp": known[inside], column: rates}, (start, end))


def _write_bars(writer: SeriesWriter, rows: dict[str, NDArray[Any]], spans: Iterable[Range]) -> None:
    times = rows["timestamp"]
    for start, end in spans:
        inside = (times >= start) & (times < end)
        writer.write({name: values[inside] for name, values in rows.items()}, (start, end))


def _settled(known: NDArray[np.int64], span: Range, step: int) -> list[Range]:
    """Return the ranges whose settlements are all in the bars; `known` are the opens of bars with a rate."""
    if not len(known):
        return []
    # A bar covers the settlements since the previous bar's open, so the series begins there.
    first, last = span[0] - step, span[1] - 1
    # The rate of a settlement may be exactly 0.0, so the column may be 0.0 at two settlements in a row.
    holes = [hole for hole, _ in funding_holes(known, first, last, most_missing=2)]
    return subtract((first + 1, span[1]), holes)


def _published(known: NDArray[np.int64], span: Range, step: int) -> list[Range]:
    """Return the ranges with an open interest; `known` are the opens of bars that have one."""
    if not len(known):
        return []
    covered = merge((int(start), int(start) + step) for start in known)
    # The value of the first bar may have been published before it.
    return merge([(span[0] - step + 1, span[0] + step), *covered]) if known[0] == span[0] else covered
