"""Resample bars to a longer timeframe, with the same result as the exchange's own bars."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import BadBars, BadTimeframe, MissingData
from .cells import MARK_COLUMNS, to_arrays
from .timeframes import to_ms

__all__ = ["resample"]


def resample(frame: pd.DataFrame, timeframe: str) -> pd.DataFrame:
    """Return canonical bars of a longer timeframe, stored under their open times.

    The first and the last bar are dropped if the frame does not cover them completely. Funding settled at a long
    bar's open belongs to that bar: its row sums the rates settled in (previous open, open].

    Raises:
        BadTimeframe: the timeframe is unknown or not a multiple of the frame's.
        BadBars: the frame has no timeframe in its attrs, or a trading calendar.
        MissingData: no long bar is covered completely.
    """
    if not frame.attrs.get("timeframe"):
        raise BadBars("expected a canonical frame with attrs['timeframe']; pass it through as_bars first")
    if frame.attrs.get("calendar"):
        raise BadBars(
            f"bars of {frame.attrs['calendar']} are not resampled: long bars are counted from multiples of their "
            "length since 1970 (UTC), not from the open of a session; load bars of that size"
        )
    short, long = to_ms(frame.attrs["timeframe"]), to_ms(timeframe)
    if long % short:
        raise BadTimeframe(f"cannot build {timeframe} bars from {frame.attrs['timeframe']} bars")
    arrays = to_arrays(frame)
    times = arrays["timestamp"]
    first_whole = -(-times[0] // long) * long
    last_whole = (times[-1] + short) // long * long - long
    opens = times // long * long
    groups, starts = np.unique(opens, return_index=True)
    whole = (groups >= first_whole) & (groups <= last_whole)
    if not whole.any():
        raise MissingData(f"no whole {timeframe} bar in {len(times)} bars of {frame.attrs['timeframe']}")
    columns = _aggregate(arrays, groups, starts, long)
    resampled = pd.DataFrame({name: values[whole] for name, values in columns.items()})
    resampled.attrs = {**frame.attrs, "timeframe": timeframe}
    return resampled


def _aggregate(
    arrays: dict[str, NDArray[Any]], groups: NDArray[np.int64], starts: NDArray[np.intp], long: int
) -> dict[str, NDArray[Any]]:
    ends = np.append(starts[1:], len(arrays["timestamp"])) - 1
    first = starts if "filled" not in arrays else _first_real(arrays["filled"], starts, ends)
    columns: dict[str, NDArray[Any]] = {
        "timestamp": groups,
        "open": arrays["open"][first],
        "high": np.maximum.reduceat(arrays["high"], starts),
        "low": np.minimum.reduceat(arrays["low"], starts),
        "close": arrays["close"][ends],
        "volume": np.add.reduceat(arrays["volume"], starts),
    }
    if "funding_rate" in arrays:
        columns["funding_rate"] = _funding(arrays, groups)
    if "open_interest" in arrays:
        known = np.searchsorted(arrays["timestamp"], groups, side="right") - 1
        columns["open_interest"] = np.where(known >= 0, arrays["open_interest"][known], 0.0)
    if "filled" in arrays:
        columns["filled"] = np.logical_and.reduceat(arrays["filled"], starts)
    if MARK_COLUMNS[0] in arrays:
        columns["mark_open"] = arrays["mark_open"][starts]
        columns["mark_high"] = np.maximum.reduceat(arrays["mark_high"], starts)
        columns["mark_low"] = np.minimum.reduceat(arrays["mark_low"], starts)
        columns["mark_close"] = arrays["mark_close"][ends]
    return columns


def _first_real(filled: NDArray[Any], starts: NDArray[np.intp], ends: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the first row of each group in which somebody traded; the first row of a group without one."""
    following = np.append(np.flatnonzero(~filled), len(filled))
    real = following[np.searchsorted(following, starts)]
    return np.where(real <= ends, real, starts)


def _funding(arrays: dict[str, NDArray[Any]], groups: NDArray[np.int64]) -> NDArray[np.float64]:
    rates = np.zeros(len(groups))
    row = np.searchsorted(groups, arrays["timestamp"], side="left")
    inside = row < len(groups)
    np.add.at(rates, row[inside], arrays["funding_rate"][inside])
    return rates
