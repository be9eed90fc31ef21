"""The bars of a Backtrader data as a canonical frame, from the lines that the run has left."""

from __future__ import annotations

from typing import Any

import pandas as pd

from feeds.bars.timeframes import from_ms
from scorenet.calendars import clock_of
from strategies.buffers import has_column, whole
from strategies.datas import bar_milliseconds, symbol_of

__all__ = ["frame_of"]

_COLUMNS = ("open", "high", "low", "close", "volume")


def frame_of(data: Any, calendar: str | None = None) -> pd.DataFrame:
    """Return the bars of a data that has run: `timestamp` is the close minus the bar size, UTC ms.

    `calendar` is the trading calendar of the strategy's model; None takes that of the data, if any.

    Raises:
        ValueError: the run has kept only its last bars (`exactbars`).
    """
    step = bar_milliseconds(data)
    if data.lines.close.mode != data.lines.close.UnBounded:
        raise ValueError(
            f"{symbol_of(data)}: a report needs all bars, and exactbars keeps only the last; "
            "run with bt.Cerebro(exactbars=False)"
        )
    names = (*_COLUMNS, *(("funding_rate",) if has_column(data, "funding_rate") else ()))
    columns = {name: values[: len(data)] for name, values in whole(data, names).items()}
    calendar = calendar or getattr(data, "calendar", None)
    clock = clock_of(calendar, step)
    times = clock.open_at(clock.trading_ms(columns.pop("timestamp")) - step)
    frame = pd.DataFrame({"timestamp": times, **columns})
    frame["volume"] = frame["volume"].fillna(0.0)
    frame.attrs = {"symbol": symbol_of(data), "timeframe": from_ms(step), "source": ""}
    if calendar:
        frame.attrs["calendar"] = calendar
    return frame
