"""The close of a bar, and files whose last bar had not closed when they were written: it is no bar yet."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pandas as pd

from scorenet.base.times import DAY_MS, wall_ms
from scorenet.calendars import exchange_schedule

from ...errors import BadBars
from ..timeframes import to_ms
from ..times import iso

__all__ = ["check_past", "close_of", "without_open_bar"]

_log = logging.getLogger("feeds")


def close_of(start: int, timeframe: str, calendar: str | None) -> int:
    """Return when nobody trades any more in the bar that opens at `start`, UTC ms: its end, or that of its session."""
    end = start + to_ms(timeframe)
    if calendar is None:
        return end
    schedule = exchange_schedule(calendar)
    begins = schedule.days if to_ms(timeframe) >= DAY_MS else schedule.opens
    session = int(np.searchsorted(begins, start, side="right")) - 1
    return min(end, int(schedule.closes[session]))


def without_open_bar(bars: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Return the canonical bars of a file without a last one that is open now, or was when the file was written.

    Bars that open in the future are only said: a time zone is wrong, the clock of this machine, or somebody made them.

    Raises:
        BadBars: it is the only bar.
    """
    last = int(bars["timestamp"].iloc[-1])
    now, written = wall_ms(), path.stat().st_mtime_ns // 1_000_000
    if last > now:
        _log.warning("%s: %s", path, _future(bars, now))
        return bars
    close = close_of(last, bars.attrs["timeframe"], bars.attrs.get("calendar"))
    moment = next((moment for moment in (now, written) if last <= moment < close), None)
    if moment is None:
        return bars
    when = "now" if moment == now else f"when the file was written, at {iso(moment)}"
    what = f"the last bar opens at {iso(last)} and had not closed {when}"
    if len(bars) == 1:
        raise BadBars(f"row 0: {what}; there is no other", row=0, timestamp=last, reason="open_bar")
    _log.warning("%s: %s; it is left out", path, what)
    closed = bars.iloc[:-1].reset_index(drop=True)
    closed.attrs = dict(bars.attrs)
    return closed


def check_past(bars: pd.DataFrame) -> None:
    """Check that no bar opens in the future, by this machine's clock.

    Raises:
        BadBars: there is one.
    """
    now, times = wall_ms(), bars["timestamp"].to_numpy()
    if int(times[-1]) > now:
        row = int(np.searchsorted(times, now, side="right"))
        raise BadBars(
            f"row {row}, column 'timestamp': {_future(bars, now)}",
            row=row,
            column="timestamp",
            timestamp=int(times[row]),
            reason="future",
        )


def _future(bars: pd.DataFrame, now: int) -> str:
    count = int((bars["timestamp"] > now).sum())
    return (
        f"{count} bar(s) open after {iso(now)}, the present time of this machine, the last one at "
        f"{iso(int(bars['timestamp'].iloc[-1]))}; are these times of another zone?"
    )
