"""Import bars from other sources into the store, in the form of bars from the exchange."""

from pathlib import Path

import numpy as np
import pandas as pd

from ..bars.frame import find_gaps
from ..bars.ranges import subtract
from ..bars.timeframes import to_ms
from .keys import SeriesKey, stored_kind
from .series_store import write_series

__all__ = ["store_bars"]


def store_bars(frame: pd.DataFrame, *, data_dir: str | Path, exchange: str = "bybit") -> None:
    """Store a canonical frame; its funding and open-interest columns become separate series.

    Gaps are not recorded as empty, so a later fetch requests them from the exchange. Forward-filled bars are not
    stored, because they contain no trades.

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
        for start, end in subtract(span, holes):
            inside = (times >= start) & (times < end)
            writer.write({name: values[inside] for name, values in rows.items()}, (start, end))
    for kind, column in (("funding", "funding_rate"), ("open_interest", "open_interest")):
        if column in real:
            values = real[column].to_numpy()
            known = values != 0.0
            series = {"timestamp": times[known].astype(np.int64), column: values[known]}
            with write_series(data_dir, SeriesKey(exchange, symbol, stored_kind(kind, timeframe))) as writer:
                # A bar covers the settlements since the previous bar's open, so the series begins there.
                writer.write(series, (span[0] - step + 1, span[1]))
