"""Backtrader data feeds from frames of bars; the datetime of a bar is its exact close."""

from array import array
from bisect import bisect_left, bisect_right
from typing import Any

import backtrader as bt
import numpy as np
import pandas as pd

from scorenet.base.times import DAY_MS, float_days, whole_ms

from .bars.cells import COLUMNS
from .bars.frame import MARK_COLUMNS, as_bars, to_arrays, with_gaps
from .bars.timeframes import to_backtrader, to_ms
from .errors import BadBars, BadTimeframe

__all__ = ["BarsData", "MarkedBarsData", "MarkedReplayData", "ReplayData", "columns_of", "empty_bars"]

_EXTRA_LINES = ("funding_rate", "open_interest")
_UNIT_MS = {
    bt.TimeFrame.Seconds: 1000,
    bt.TimeFrame.Minutes: 60_000,
    bt.TimeFrame.Days: DAY_MS,
    bt.TimeFrame.Weeks: 7 * DAY_MS,
}


class _LinesByFrame(type(bt.feed.DataBase)):  # type: ignore[misc]
    """Give a feed the lines of the mark price if its frame has them: Backtrader fixes the lines of a class."""

    def doprenew(cls, *args: Any, **kwargs: Any) -> Any:
        marked = MARK_COLUMNS[0] in getattr(kwargs.get("dataname"), "columns", ())
        return super(_LinesByFrame, _MARKED.get(cls, cls) if marked else cls).doprenew(*args, **kwargs)


class BarsData(bt.feed.DataBase, metaclass=_LinesByFrame):
    """Deliver a validated frame of bars; the datetime is the close (open + bar size, exact to the second).

    To resample, use `feeds.resample` first. Backtrader's own resampling does not handle the extra lines (funding and
    open interest), which are then 0.0.

    Params:
        - dataname: DataFrame of bars (see `feeds.as_bars`).
        - symbol (""): name of the market, also used as the data's name; empty: `frame.attrs["symbol"]`.
        - timeframe (None): bar size, "1h" or Backtrader's number with `compression`; None: the frame's.
        - compression (None): see `timeframe`.
        - gaps (None): policy for missing bars. None keeps the gaps of a canonical frame, because its policy was
          applied when it was loaded, and raises an error for gaps in any other frame.
        - checked (False): if True, the values are not validated; only for frames returned by `load_bars`.

    Lines:
        - datetime, open, high, low, close, volume, openinterest (the same as open_interest)
        - funding_rate: sum of the rates settled in (previous open, open], a fraction; 0.0 where none.
        - open_interest: in base units as of the open; 0.0 where unknown.
        - mark_open, mark_high, mark_low, mark_close: the mark price, only if the frame has these columns. The account
          is then valued and liquidated at it; orders are filled at the traded prices.

    Attributes:
        absent: optional columns missing from the frame; their lines are 0.0.
        calendar: trading calendar of the frame's market, None if it never closes.
        filled_closes: closes (UTC ms) of the bars that were added where bars are missing (`gaps="ffill"`).
        source_ms: bar size of the frame in ms.
    """

    lines: Any = _EXTRA_LINES
    params: tuple[tuple[str, Any], ...] = (
        ("symbol", ""),
        ("timeframe", None),
        ("compression", None),
        ("gaps", None),
        ("checked", False),
    )

    def __init__(self) -> None:
        super().__init__()
        self._begin()

    def _begin(self) -> None:
        frame = self.p.dataname
        named = self.p.timeframe if isinstance(self.p.timeframe, str) else None
        canonical = isinstance(frame, pd.DataFrame) and bool(frame.attrs.get("timeframe"))
        renamed = self.p.symbol or self.p.name or named
        if self.p.checked and canonical and not renamed:
            bars = with_gaps(frame, self.p.gaps or "keep")
        else:
            bars = as_bars(
                frame,
                symbol=self.p.symbol or self.p.name or None,
                timeframe=named,
                gaps=self.p.gaps or ("keep" if canonical else "raise"),
            )
        self._set_timeframe(bars.attrs["timeframe"], named is None)
        if MARK_COLUMNS[0] in bars and not hasattr(self.lines, MARK_COLUMNS[0]):
            raise BadBars(
                f"{type(self).__name__} has no lines for the mark price of its frame; declare "
                f"lines = {MARK_COLUMNS}, or drop the columns"
            )
        self._set_bars(bars)

    def _set_bars(self, bars: pd.DataFrame) -> None:
        """Set the canonical bars to deliver, and the name of their market."""
        self.p.symbol = bars.attrs["symbol"]
        self.p.name = self.p.name or bars.attrs["symbol"]
        self._columns = columns_of(bars)
        self.calendar: str | None = bars.attrs.get("calendar")
        self.absent = frozenset(name for name in _EXTRA_LINES if name not in bars)
        self.source_ms = to_ms(bars.attrs["timeframe"])
        self.filled_closes = _closes_of_filled(bars, self.source_ms)
        self._row = 0
        self._exhausted = False
        self._lines: list[tuple[bt.LineBuffer, array[float]]] = []

    @property
    def bar_ms(self) -> int:
        """Return the bar size in ms; if Backtrader resamples, the size of the resampled bars."""
        return int(_UNIT_MS[self._timeframe] * self._compression)

    def close_ms(self, ago: int = 0) -> int:
        """Return the close of the bar `ago` in UTC ms; float days round-trip to the second exactly."""
        return whole_ms(self.datetime[ago])

    def ended(self) -> bool:
        """Return whether the feed has no more bars and all of them have been delivered; silence is no end."""
        bounded = self.datetime.mode != self.datetime.UnBounded
        return self._exhausted and not self._barstack and (bounded or len(self) >= self.buflen())

    def load(self) -> bool | None:
        """Load the next bar as Backtrader does, and remember when there are no more."""
        found: bool | None = super().load()
        if found is False:
            self._exhausted = True
        return found

    def start(self) -> None:
        super().start()
        self._row = 0
        self._exhausted = False
        self._lines = [(getattr(self.lines, name), column) for name, column in self._columns.items()]

    def preload(self) -> None:
        """Fill the line buffers at once, unless filters or resamplers need the bars one by one."""
        buffers = [getattr(self.lines, name) for name in self.getlinealiases()]
        plain = all(line.mode == line.UnBounded and not line.bindings for line in buffers)
        if self._filters or self._tzinput or self._barstack or self._barstash or not plain:
            super().preload()
            return
        datetimes = self._columns["datetime"]
        first, end = bisect_left(datetimes, self.fromdate), bisect_right(datetimes, self.todate)
        absent = array("d", [float("nan")]) * (end - first)
        for name, line in zip(self.getlinealiases(), buffers, strict=True):
            # The buffer may already hold extra places that Cerebro requested after the last bar.
            column = self._columns.get(name)
            line.array = (absent if column is None else column[first:end]) + line.array
        self._row = len(datetimes)
        self._exhausted = True
        self.home()

    def qbuffer(self, savemem: int = 0, replaying: bool = False) -> None:
        """Limit the buffers (exactbars=1) to one bar more than the indicators need; `rewind` needs it."""
        for line in self.itersize():
            line.qbuffer(savemem=savemem, extrasize=1)

    def rewind(self, size: int = 1) -> None:
        """Step back from a bar that is later than the bars of the other datas.

        Backtrader's bounded buffers cannot step back: with feeds of different datetimes they lose bars or raise
        IndexError. With bounded buffers the bar is therefore removed and kept for the next load.
        """
        if self.datetime.mode == self.datetime.UnBounded:
            super().rewind(size)
            return
        for _ in range(size):
            self._barstack.appendleft([line[0] for line in self.itersize()])
            self.backwards(force=True)

    def _load(self) -> bool | None:
        row = self._row
        if row >= len(self._columns["datetime"]):
            return False
        self._row = row + 1
        for line, column in self._lines:
            line[0] = column[row]
        return True

    def _fromstack(self, forward: bool = False, stash: bool = False) -> bool:
        delivered = super()._fromstack(forward=forward, stash=stash)
        if delivered:
            # Backtrader's resampler leaves the extra lines at NaN.
            for line in (self.funding_rate, self.open_interest):
                if line[0] != line[0]:
                    line[0] = 0.0
            if hasattr(self.lines, MARK_COLUMNS[0]) and self.lines.mark_close[0] != self.lines.mark_close[0]:
                raise BadBars(
                    f"{self.p.symbol}: Backtrader's resampling drops the mark price; use feeds.resample(frame, ...)"
                )
        return delivered

    def _set_timeframe(self, timeframe: str, check: bool) -> None:
        unit, compression = to_backtrader(timeframe)
        if check and self.p.timeframe is not None:
            asked = _UNIT_MS.get(self.p.timeframe, 0) * (self.p.compression or 1)
            if asked != to_ms(timeframe):
                raise BadTimeframe(
                    f"these are {timeframe} bars; leave timeframe and compression out, or resample them first"
                )
        self.p.timeframe, self.p.compression = unit, compression


class ReplayData(BarsData):
    """Deliver stored bars one by one, like a live feed: Cerebro does not preload or vectorise.

    Params:
        - as `BarsData`.

    Lines:
        - as `BarsData`.
    """

    def islive(self) -> bool:
        """Return True, so that Cerebro runs bar by bar."""
        return True


class MarkedBarsData(BarsData):
    """`BarsData` of a frame with mark prices: `BarsData(dataname=frame)` returns it by itself."""

    lines = MARK_COLUMNS


class MarkedReplayData(ReplayData):
    """`ReplayData` of a frame with mark prices: `ReplayData(dataname=frame)` returns it by itself."""

    lines = MARK_COLUMNS


_MARKED = {BarsData: MarkedBarsData, ReplayData: MarkedReplayData}


def _closes_of_filled(bars: pd.DataFrame, step: int) -> frozenset[int]:
    if "filled" not in bars:
        return frozenset()
    return frozenset((bars["timestamp"].to_numpy()[bars["filled"].to_numpy(dtype=bool)] + step).tolist())


def columns_of(bars: pd.DataFrame) -> dict[str, "array[float]"]:
    """Return the lines [T] of canonical bars, by name; columns missing from the frame are 0.0."""
    arrays = to_arrays(bars)
    datetimes = float_days(arrays["timestamp"] + to_ms(bars.attrs["timeframe"]))
    absent = np.zeros(len(datetimes))
    open_interest = arrays.get("open_interest", absent)
    columns = {
        "datetime": datetimes,
        **{name: arrays[name] for name in ("open", "high", "low", "close", "volume")},
        "openinterest": open_interest,
        "funding_rate": arrays.get("funding_rate", absent),
        "open_interest": open_interest,
        **{name: arrays[name] for name in MARK_COLUMNS if name in arrays},
    }
    return {name: array("d", values.tobytes()) for name, values in columns.items()}


def empty_bars(symbol: str, timeframe: str) -> pd.DataFrame:
    """Return canonical bars without a row."""
    bars = pd.DataFrame({name: np.empty(0) for name in COLUMNS}).astype({"timestamp": np.int64})
    bars.attrs = {"symbol": symbol, "timeframe": timeframe, "source": ""}
    return bars
