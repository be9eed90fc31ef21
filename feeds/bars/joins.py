"""Join funding, open interest and mark prices to bars, never from a later row."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import BadBars, MissingData
from .cells import COLUMNS, MARK_COLUMNS, OPTIONAL_COLUMNS, bar_values
from .settlements import settlement_times
from .timeframes import to_ms
from .times import iso, utc_ms

__all__ = ["check_mark", "join_funding", "join_mark", "join_open_interest", "settlements_of"]

_MAX_AGE_MS = 24 * 3_600_000


def join_funding(frame: pd.DataFrame, funding: pd.DataFrame) -> pd.DataFrame:
    """Return the bars with `funding_rate`: the sum of the rates settled in (previous open, open], a fraction.

    `funding` has a time column and `funding_rate`. A settlement at 08:00 belongs to the bar that opens at 08:00, even
    if it is stamped a few seconds late (`settlements.LATE_MS`); one inside a gap belongs to the next bar; rows without
    a settlement hold 0.0. Settlements that the series lacks are not noticed here, but by `settlements.check_funding`.

    Raises:
        BadBars: a settlement is not finite, duplicated or out of order.
    """
    times, rates = settlements_of(funding)
    opens = frame["timestamp"].to_numpy(dtype=np.int64)
    joined = np.zeros(len(opens))
    if len(opens):
        row = np.searchsorted(opens, times, side="left")
        inside = (row < len(opens)) & (times > opens[0] - _step(frame, opens))
        np.add.at(joined, row[inside], rates[inside])
    return _with_column(frame, "funding_rate", joined)


def settlements_of(funding: pd.DataFrame) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the settlement times [N] (UTC ms) and rates [N] (fraction) of a funding series.

    Raises:
        BadBars: a settlement is not finite, duplicated or out of order.
    """
    stamps, rates = _series(funding, "funding_rate")
    times = settlement_times(stamps)
    twice = np.flatnonzero(np.diff(times) == 0) + 1
    if twice.size:
        expected = "expected one rate per settlement, found the settlement of the row before again"
        raise _bad(int(twice[0]), "funding_rate", stamps, rates, expected, "duplicate")
    return times, rates


def join_open_interest(frame: pd.DataFrame, open_interest: pd.DataFrame) -> pd.DataFrame:
    """Return the bars with `open_interest`: the last value known at the bar's open, in base units.

    Values older than one day count as missing; missing values are 0.0.

    Raises:
        BadBars: a value is not finite, negative, or its time duplicated or out of order.
    """
    times, values = _series(open_interest, "open_interest")
    negative = np.flatnonzero(values < 0)
    if negative.size:
        raise _bad(int(negative[0]), "open_interest", times, values, "expected a value >= 0", "negative")
    opens = frame["timestamp"].to_numpy(dtype=np.int64)
    joined = np.zeros(len(opens))
    if len(times):
        last = np.searchsorted(times, opens, side="right") - 1
        known = last >= 0
        known[known] = opens[known] - times[last[known]] <= _MAX_AGE_MS
        joined[known] = values[last[known]]
    return _with_column(frame, "open_interest", joined)


def join_mark(frame: pd.DataFrame, mark: pd.DataFrame) -> pd.DataFrame:
    """Return the bars with MARK_COLUMNS: the bar of the mark price with the same open time, NaN where there is none.

    `mark` has a time column, open, high, low and close. `check_mark` refuses the bars without one.

    Raises:
        BadBars: a price is not a positive number, outside its bar's range, or its time duplicated or out of order.
    """
    if mark.empty:
        times, prices = np.empty(0, dtype=np.int64), {name: np.empty(0) for name in COLUMNS[1:5]}
    else:
        times = utc_ms(mark)
        prices = bar_values(mark.assign(volume=0.0), times)
    opens = frame["timestamp"].to_numpy(dtype=np.int64)
    known = np.isin(opens, times)
    for name in MARK_COLUMNS:
        values = np.full(len(opens), np.nan)
        values[known] = prices[name.removeprefix("mark_")][np.searchsorted(times, opens[known])]
        frame = _with_column(frame, name, values)
    return frame


def check_mark(bars: pd.DataFrame, source: str) -> None:
    """Check that every bar has its mark price.

    Raises:
        MissingData: some have none.
    """
    lacking = bars["timestamp"].to_numpy()[bars["mark_close"].isna().to_numpy()]
    if len(lacking):
        raise MissingData(
            f"{source}: no mark price for {len(lacking)} of {len(bars)} bars, the first at {iso(int(lacking[0]))}; "
            "complete it, choose other dates, or take it away: the account is then valued at traded prices"
        )


def _series(frame: pd.DataFrame, column: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    if column not in frame.columns:
        raise BadBars(
            f"expected a column {column!r}, found {', '.join(map(str, frame.columns)) or 'none'}",
            column=column,
            reason="missing_column",
        )
    if frame.empty:
        return np.empty(0, dtype=np.int64), np.empty(0)
    times = utc_ms(frame)
    try:
        values = frame[column].to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise BadBars(
            f"column {column!r}: expected numbers: {error}", column=column, reason="dtype"
        ) from error
    for wrong, expected, reason in (
        (np.flatnonzero(~np.isfinite(values)), "expected a finite number", "nan"),
        (
            np.flatnonzero(np.diff(times) == 0) + 1,
            "expected a later time, found the same time again",
            "duplicate",
        ),
        (
            np.flatnonzero(np.diff(times) < 0) + 1,
            "expected increasing times, found an earlier one",
            "unsorted",
        ),
    ):
        if wrong.size:
            raise _bad(int(wrong[0]), column, times, values, expected, reason)
    return times, values


def _bad(
    row: int, column: str, times: NDArray[np.int64], values: NDArray[np.float64], expected: str, reason: str
) -> BadBars:
    time = int(times[row])
    return BadBars(
        f"{column} row {row} ({iso(time)}): {expected}, found {float(values[row])!r}",
        row=row,
        column=column,
        timestamp=time,
        reason=reason,
    )


def _step(frame: pd.DataFrame, opens: NDArray[np.int64]) -> int:
    if frame.attrs.get("timeframe"):
        return to_ms(frame.attrs["timeframe"])
    return int(np.diff(opens).min()) if len(opens) > 1 else 0


def _with_column(frame: pd.DataFrame, column: str, values: NDArray[np.float64]) -> pd.DataFrame:
    joined = frame.copy()
    joined[column] = values
    # The hash of a frame depends on its column order, so the order must not depend on which series was joined first.
    first = [name for name in (*COLUMNS, *OPTIONAL_COLUMNS) if name in joined]
    joined = joined[first + [name for name in joined if name not in first]]
    joined.attrs = dict(frame.attrs)
    return joined
