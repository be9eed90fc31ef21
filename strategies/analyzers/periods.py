"""Returns of UTC days and months, which end at midnight and include the bar that closes then."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .metrics import daily_equity, last_of_each, month_of
from .recording import EquityAnalyzer

__all__ = ["DailyReturns", "MonthlyReturns", "period_returns"]


class DailyReturns(EquityAnalyzer):
    """Return columns [D], one row per UTC day with a bar: `time` (start of the day, UTC ms) and `return` (simple).

    A bar that closes at 00:00 belongs to the day that ends then; Backtrader's own analyzers (TimeReturn and those built
    on it) put it into the next day. The first return starts at the first equity, so the days multiply to the total
    return. Deposits are no return. A day without a bar has no row; a bar after the gap has the return since the bar
    before it.
    """

    def get_analysis(self) -> dict[str, NDArray[np.int64] | NDArray[np.float64]]:
        """Return the columns."""
        start, last = daily_equity(self.recording.times, self.recording.growth)
        return period_returns(self.recording.times, self.recording.growth, start, last)


class MonthlyReturns(EquityAnalyzer):
    """Return columns [M], one row per UTC month with a bar: `time` (start of the month, UTC ms) and `return` (simple).

    Months are closed on the right, as the days of `DailyReturns`.
    """

    def get_analysis(self) -> dict[str, NDArray[np.int64] | NDArray[np.float64]]:
        """Return the columns."""
        months = month_of(self.recording.times)
        last = last_of_each(months)
        return period_returns(
            self.recording.times, self.recording.growth, months[last], self.recording.growth[last]
        )


def period_returns(
    times: NDArray[np.int64], growth: NDArray[np.float64], start: NDArray[np.int64], last: NDArray[np.float64]
) -> dict[str, NDArray[np.int64] | NDArray[np.float64]]:
    """Return `time` and `return` of the periods that begin at `start` and end with the equity `last`, [P] both.

    `growth` [N] is the equity without deposits at the bar closes `times` [N] (UTC ms).
    """
    before = np.concatenate((growth[:1], last[:-1]))
    alive = before > 0.0
    change = np.where(alive, last / np.where(alive, before, 1.0) - 1.0, 0.0)
    # A run whose first bar closes at midnight starts there: the period that ends then has no return.
    empty = len(times) > 1 and len(start) > 1 and times[1] > start[1] >= times[0]
    return {"time": start[1:], "return": change[1:]} if empty else {"time": start, "return": change}
