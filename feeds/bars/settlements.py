"""The settlement times of a funding series, and the settlements that it lacks."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import MissingData
from .ranges import Range, merge
from .times import iso

__all__ = [
    "LATE_MS",
    "PUBLICATION_LAG_MS",
    "check_funding",
    "funding_holes",
    "settlement_times",
    "warn_of_percent",
]

LATE_MS = 5_000
"""A settlement stamped up to this long after a full hour (ms) is the settlement of that hour."""

PUBLICATION_LAG_MS = 1_800_000
"""A settlement that the exchange does not show this long after its hour (ms) did not happen.

The interval that an exchange announces for an instrument proves nothing: it may settle more often at any time.
"""

_HOUR_MS = 3_600_000
_USUAL_MS = 8 * _HOUR_MS
_NEIGHBOURS = 3
# Bybit's base rate is 0.0001 a settlement; half of a market's settlements are not above 0.2 %, 200 % a year.
_HIGH_RATE, _FEW_RATES = 0.002, 5
_log = logging.getLogger("feeds")


def settlement_times(stamps: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the settlement times [N] that stamps [N] mean (UTC ms): exchanges stamp some a few milliseconds late.

    Settlements are at full hours. A stamp at most `LATE_MS` after one is moved to it, any other stays.
    """
    late = stamps % _HOUR_MS
    return np.where(late <= LATE_MS, stamps - late, stamps)


def funding_holes(
    times: NDArray[np.int64], first: int, last: int, *, most_missing: int = 0
) -> list[tuple[Range, int]]:
    """Return the ranges of (first, last] in which settlements are due and absent, each with its interval (ms).

    `times` [N] are settlement times, `first` and `last` UTC ms. The interval at a place is the usual spacing of the
    settlements before or after it, whichever is longer, since exchanges change it; 8 hours where there are too few. Up
    to `most_missing` settlements in a row may be absent.
    """
    if not len(times):
        return [((first + 1, last + 1), _USUAL_MS)] if last >= first + _USUAL_MS else []
    spacing = np.diff(times)
    holes: list[tuple[Range, int]] = []
    start = _interval(spacing[:_NEIGHBOURS])
    if times[0] > first + (1 + most_missing) * start:
        holes.append(((first + 1, int(times[0])), start))
    for at in np.flatnonzero(spacing > 1.5 * _HOUR_MS):
        before = _interval(spacing[max(0, at - _NEIGHBOURS) : at], 0)
        after = _interval(spacing[at + 1 : at + 1 + _NEIGHBOURS], 0)
        usual = max(before, after) or _USUAL_MS
        if spacing[at] > (1.5 + most_missing) * usual:
            holes.append(((int(times[at]) + usual, int(times[at + 1])), usual))
    end = _interval(spacing[-_NEIGHBOURS:])
    if last >= times[-1] + (1 + most_missing) * end:
        holes.append(((int(times[-1]) + end, last + 1), end))
    return [
        ((max(low, first + 1), min(high, last + 1)), every)
        for (low, high), every in holes
        if merge([(max(low, first + 1), min(high, last + 1))])
    ]


def check_funding(bars: pd.DataFrame, times: NDArray[np.int64], source: str) -> None:
    """Check that a series has every settlement due after the first of canonical bars; `times` are its settlements.

    No position is held at the open of the first bar, so its own settlement may be absent.

    Raises:
        MissingData: settlements are missing; the message names them.
    """
    opens = bars["timestamp"].to_numpy(dtype=np.int64)
    holes = funding_holes(times, int(opens[0]), int(opens[-1]))
    if not holes:
        return
    (low, high), every = holes[0]
    low, high = low // 1000 * 1000, high // 1000 * 1000  # a range ends a millisecond after the last open
    more = f" and in {len(holes) - 1} other place(s)" if len(holes) > 1 else ""
    raise MissingData(
        f"{source} has no settlement from {iso(low)} up to {iso(high)}{more}, where the bars have one due every "
        f"{every / _HOUR_MS:g} h: complete the file (a settlement of nothing is a row with rate 0.0), use bars within "
        "its span, or move it away to leave funding out"
    )


def warn_of_percent(bars: pd.DataFrame, path: Path) -> None:
    """Say that rates are too large for fractions: 0.01 % is 0.0001, and 0.01 costs a hundred times as much."""
    rates = np.abs(bars["funding_rate"].to_numpy()) if "funding_rate" in bars else np.empty(0)
    rates = rates[rates > 0]
    if len(rates) >= _FEW_RATES and np.median(rates) > _HIGH_RATE:
        _log.warning(
            "%s: half of the funding rates are above %g, %.3g %% each; a rate is a fraction (0.01 %% is 0.0001): are "
            "these percent?",
            path,
            _HIGH_RATE,
            100 * float(np.median(rates)),
        )


def _interval(spacing: NDArray[np.int64], default: int = _USUAL_MS) -> int:
    return int(np.median(spacing)) if len(spacing) else default
