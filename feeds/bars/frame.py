"""The contract of a frame of bars, and the validator that all bars pass.

A canonical frame has a RangeIndex and the columns COLUMNS: `timestamp` (int64 UTC ms, the bar's OPEN, strictly
increasing, on the grid of the timeframe) and float64 prices and volume. It may have OPTIONAL_COLUMNS: `funding_rate`
(fraction, 0.0 without a settlement), `open_interest` (base units, 0.0 where unknown), `filled` (bool, bars added by the
policy `ffill`) and MARK_COLUMNS, all four or none: the bar of the mark price, at which an account is valued.
`frame.attrs` holds symbol, timeframe and source, and of a market with sessions `calendar`: its bars open on the grid of
their session (`feeds.bars.sessions.opens`), and closed hours are no missing bars.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scorenet.calendars import Clock, canonical_name, clock_of

from ..errors import BadBars, BadSource, BadTimeframe, BarGap
from .cells import COLUMNS, MARK_COLUMNS, OPTIONAL_COLUMNS, bar_values, to_arrays
from .joins import join_funding, join_mark, join_open_interest
from .resampling import resample
from .sessions.opens import session_opens
from .sessions.spacing import other_sizes, rests_at_weekends
from .symbols import one_symbol
from .timeframes import from_ms, to_ms
from .times import iso, utc_ms

__all__ = [
    "CALENDAR_HINT",
    "COLUMNS",
    "MARK_COLUMNS",
    "OPTIONAL_COLUMNS",
    "Gap",
    "GapPolicy",
    "as_bars",
    "check_gap_policy",
    "clock_of_frame",
    "data_hash",
    "find_gaps",
    "join_funding",
    "join_mark",
    "join_open_interest",
    "resample",
    "to_arrays",
    "with_gaps",
]

GapPolicy = Literal["raise", "keep", "ffill"]

CALENDAR_HINT = "name its trading calendar, such as --calendar XNYS, calendar='XNYS' in Python"
"""What to do about bars of a market that closes."""


@dataclass(frozen=True, kw_only=True)
class Gap:
    """A gap: `missing` bars from open time `start` up to, not including, `end` (UTC ms)."""

    start: int
    end: int
    missing: int


def as_bars(
    frame: pd.DataFrame,
    *,
    symbol: str | None = None,
    timeframe: str | None = None,
    gaps: GapPolicy = "raise",
    source: str = "",
    calendar: str | None = None,
) -> pd.DataFrame:
    """Return a validated canonical copy of `frame`; the input is never changed.

    Times may be int UTC ms, a tz-aware datetime column or a tz-aware DatetimeIndex. Without `timeframe`, it is taken
    from `frame.attrs` or from the most common spacing. Missing bars are an error (`raise`), stay missing (`keep`), or
    are added at the previous close with volume 0 and `filled` True (`ffill`). Columns outside the contract are dropped.
    `calendar` ("XNYS") is the trading calendar of a market that closes; None takes that of `frame.attrs`, if any.

    Raises:
        BadBars: a bar violates the contract; the message names row, column, timestamp and value.
        BarGap: bars are missing and `gaps` is "raise".
        BadTimeframe: the timeframe is unknown or cannot be determined.
        BadSource: `gaps` is not a known policy.
        ConfigError: the calendar is unknown, or exchange_calendars is not installed.
    """
    check_gap_policy(gaps)
    if not isinstance(frame, pd.DataFrame):
        raise BadBars(f"expected a pandas DataFrame of bars, found {type(frame).__name__}", reason="dtype")
    if frame.empty:
        raise BadBars("expected at least one bar, found an empty frame", reason="empty")
    own_symbol = _symbol_column(frame)
    times = utc_ms(frame)
    values = bar_values(frame, times)
    symbol = symbol or frame.attrs.get("symbol") or own_symbol or ""
    timeframe = _timeframe(times, timeframe or frame.attrs.get("timeframe"))
    sessions = canonical_name(calendar or frame.attrs.get("calendar"))
    if sessions is None:
        _check_spacing(times, timeframe)
    else:
        times = session_opens(times, to_ms(timeframe), sessions)
    bars = pd.DataFrame({"timestamp": times, **values})
    bars.attrs = {
        "symbol": symbol,
        "timeframe": timeframe,
        "source": source or frame.attrs.get("source", ""),
        **({} if sessions is None else {"calendar": sessions}),
    }
    return with_gaps(bars, gaps)


def with_gaps(bars: pd.DataFrame, gaps: GapPolicy) -> pd.DataFrame:
    """Apply a gap policy to a canonical frame without validating its values again.

    Raises:
        BarGap: bars are missing and `gaps` is "raise".
    """
    timeframe = bars.attrs["timeframe"]
    holes = find_gaps(bars, timeframe) if gaps != "keep" else []
    if holes:
        _check_one_size(bars, timeframe)
    if holes and gaps == "raise":
        raise _gap_error(bars, holes, timeframe)
    return _fill(bars) if gaps == "ffill" else bars


def check_gap_policy(gaps: str) -> None:
    """Raise an error for an unknown gap policy.

    Raises:
        BadSource: `gaps` is none of "raise", "keep", "ffill".
    """
    if gaps not in get_args(GapPolicy):
        raise BadSource(f"unknown gap policy {gaps!r}; expected one of {', '.join(get_args(GapPolicy))}")


def find_gaps(frame: pd.DataFrame, timeframe: str) -> list[Gap]:
    """Return the gaps between the first and the last bar, in order of time; closed hours of its calendar are none."""
    step = to_ms(timeframe)
    clock = clock_of(frame.attrs.get("calendar"), step)
    times = frame["timestamp"].to_numpy(dtype=np.int64)
    trading = clock.trading_ms(times)
    before = np.flatnonzero(np.diff(trading) > step)
    missing = (trading[before + 1] - trading[before]) // step - 1
    spans = zip(
        clock.open_at(trading[before] + step).tolist(),
        times[before + 1].tolist(),
        missing.tolist(),
        strict=True,
    )
    return [Gap(start=start, end=end, missing=count) for start, end, count in spans]


def clock_of_frame(frame: pd.DataFrame) -> Clock:
    """Return the clock of a canonical frame's market at its bar size.

    Raises:
        ConfigError: exchange_calendars is not installed.
    """
    return clock_of(frame.attrs.get("calendar"), to_ms(frame.attrs["timeframe"]))


def data_hash(frame: pd.DataFrame) -> str:
    """Return the SHA-256 (hex) of the names and bytes of a canonical frame's columns."""
    digest = hashlib.sha256()
    for name, values in to_arrays(frame).items():
        digest.update(f"{name}:{values.dtype.str}:{len(values)};".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()


def _symbol_column(frame: pd.DataFrame) -> str | None:
    one_symbol(frame, None)
    return str(frame["symbol"].iloc[0]) if "symbol" in frame.columns else None


def _timeframe(times: NDArray[np.int64], named: str | None) -> str:
    if named:
        to_ms(named)
        return named
    spacing, count = np.unique(np.diff(times), return_counts=True)
    positive = spacing > 0
    if not positive.any():
        raise BadTimeframe(
            "expected a timeframe or at least two bars, found one bar; give it, e.g. timeframe='1h'"
        )
    common = int(spacing[positive][np.argmax(count[positive])])
    try:
        return from_ms(common)
    except BadTimeframe as error:
        raise BadTimeframe(f"the most common spacing of the bars is {common / 1000:g} s: {error}") from error


def _check_spacing(times: NDArray[np.int64], timeframe: str) -> None:
    step = to_ms(timeframe)
    off = np.flatnonzero(times % step)
    if off.size:
        row = int(off[0])
        raise BadBars(
            f"row {row} ({iso(int(times[row]))}), column 'timestamp': not on the {timeframe} grid, which "
            "starts at multiples of its length since 1970 (UTC); is this the open time, the right timeframe? "
            f"For a market that closes, {CALENDAR_HINT}",
            row=row,
            column="timestamp",
            timestamp=int(times[row]),
            reason="misaligned",
        )
    spacing = np.diff(times)
    # Three or more equal gaps and no other spacing mean another timeframe, not missing bars.
    if len(spacing) >= 3 and spacing.min() > step:
        raise BadBars(
            f"row 1 ({iso(int(times[1]))}), column 'timestamp': expected bars {timeframe} apart, "
            f"found none closer than {int(spacing.min()) / 60_000:g} minutes",
            row=1,
            column="timestamp",
            timestamp=int(times[1]),
            reason="spacing",
        )


def _check_one_size(bars: pd.DataFrame, timeframe: str) -> None:
    """Raise an error for bars of another size, which are no holes and must not be filled."""
    times = bars["timestamp"].to_numpy(dtype=np.int64)
    others = other_sizes(times, to_ms(timeframe), clock_of_frame(bars).trading_ms(times))
    if not others:
        return
    first = others[0]
    row = int(np.searchsorted(times, first.start))
    raise BadBars(
        f"row {row} ({iso(first.start)}), column 'timestamp': {first.bars} bars of {first.timeframe} up to "
        f"{iso(first.end)} among bars of {timeframe}; split the file by bar size, or resample it to {first.timeframe}",
        row=row,
        column="timestamp",
        timestamp=first.start,
        reason="mixed_sizes",
    )


def _gap_error(bars: pd.DataFrame, holes: list[Gap], timeframe: str) -> BarGap:
    times, calendar, first = bars["timestamp"].to_numpy(dtype=np.int64), bars.attrs.get("calendar"), holes[0]
    total = sum(hole.missing for hole in holes)
    more = f" ({total} missing in {len(holes)} holes)" if len(holes) > 1 else ""
    answer = "choose gaps='keep' to leave the hole or gaps='ffill' to repeat the previous close"
    if calendar:
        more += f" of trading hours of {calendar}"
    elif rests_at_weekends(times):
        more += f"; nobody trades this market at weekends: {CALENDAR_HINT}"
        answer = "or leave the holes with gaps='keep'"
    return BarGap(
        f"{first.missing} bar(s) of {timeframe} missing from {iso(first.start)} up to {iso(first.end)}{more}"
        f"; {answer}",
        row=int(np.searchsorted(times, first.end)),
        column="timestamp",
        timestamp=first.start,
        reason="gap",
    )


def _fill(bars: pd.DataFrame) -> pd.DataFrame:
    """Add the missing bars: previous close, no volume, no settlement, last known open interest."""
    times = bars["timestamp"].to_numpy(dtype=np.int64)
    grid = clock_of_frame(bars).opens(int(times[0]), int(times[-1]))
    source = np.searchsorted(times, grid, side="right") - 1
    invented = times[source] != grid
    columns: dict[str, NDArray[Any]] = {"timestamp": grid}
    arrays: Mapping[str, NDArray[Any]] = to_arrays(bars)
    for name, values in arrays.items():
        if name == "timestamp":
            continue
        columns[name] = values[source]
        if name in ("open", "high", "low", "close"):
            columns[name][invented] = arrays["close"][source][invented]
        elif name in MARK_COLUMNS:
            columns[name][invented] = arrays["mark_close"][source][invented]
        elif name in ("volume", "funding_rate"):
            columns[name][invented] = 0.0
    columns["filled"] = columns.get("filled", np.zeros(len(grid), dtype=np.bool_)) | invented
    filled = pd.DataFrame(columns)
    filled.attrs = dict(bars.attrs)
    return filled
