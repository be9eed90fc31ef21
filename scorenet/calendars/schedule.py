"""The sessions of an exchange, from the package exchange_calendars: the only file that imports it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..base.did_you_mean import did_you_mean
from ..errors import ConfigError

__all__ = ["Schedule", "exchange_schedule", "resolve"]

Times = NDArray[np.int64]

# The years from which sessions are asked for: the first one that the calendar knows.
_SINCE = (1950, 1960, 1970, 1980, 1990, 1995, 2000, 2005, 2010)
_COLUMNS = ("open", "break_start", "break_end", "close")


@dataclass(frozen=True, eq=False)
class Schedule:
    """The sessions of an exchange; arrays are [S], ascending, UTC ms.

    Attributes:
        name: of the calendar.
        days: 00:00 UTC of each session's date.
        midnights: 00:00 of that date at the exchange.
        opens, closes: of each session.
        parts: opens and closes of the hours of trade; a session with a break at noon has two.
    """

    name: str
    days: Times
    midnights: Times
    opens: Times
    closes: Times
    parts: tuple[Times, Times]

    def days_of(self, times: ArrayLike) -> Times:
        """Return the day of the session that each time [T] belongs to, UTC ms at 00:00; -1 for a day without one.

        A time is 00:00 UTC of the date, 00:00 at the exchange, or within the session.
        """
        when = np.asarray(times, dtype=np.int64)
        found = np.full(when.shape, -1, dtype=np.int64)
        within = np.maximum(np.searchsorted(self.opens, when, side="right") - 1, 0)
        inside = (when >= self.opens[within]) & (when <= self.closes[within])
        found[inside] = self.days[within[inside]]
        # A date is meant before an hour: 00:00 UTC is an hour of trade in Asia and Australia.
        for stamps in (self.midnights, self.days):
            at = np.minimum(np.searchsorted(stamps, when), len(stamps) - 1)
            same = stamps[at] == when
            found[same] = self.days[at[same]]
        return found


@lru_cache(maxsize=8)
def exchange_schedule(name: str) -> Schedule:
    """Return the sessions of an exchange by the name of its calendar, such as "XNYS".

    Raises:
        ConfigError: there is no such calendar, or exchange_calendars is not installed.
    """
    library, known = _library(name), resolve(name)
    with warnings.catch_warnings():
        # The library still calls what pandas will change; nobody but its authors can act on that.
        warnings.simplefilter("ignore", DeprecationWarning)
        calendar = _from_first_year(library, known)
        table = calendar.schedule
    opens, breaks, resumes, closes = (_milliseconds(table[name]) for name in _COLUMNS)
    broken = table["break_start"].notna().to_numpy()
    days = _milliseconds(table.index)
    midnights = table.index.tz_localize(calendar.tz, ambiguous=True, nonexistent="shift_forward")
    return Schedule(
        name=known,
        days=days,
        midnights=_milliseconds(midnights),
        opens=opens,
        closes=closes,
        parts=(
            np.sort(np.concatenate((opens, resumes[broken]))),
            np.sort(np.concatenate((closes, breaks[broken]))),
        ),
    )


def resolve(name: str) -> str:
    """Return the library's own name of a calendar: "NYSE" is "XNYS"; case counts for nothing.

    Raises:
        ConfigError: as `exchange_schedule`.
    """
    library = _library(name)
    names = library.get_calendar_names(include_aliases=True)
    spelled = {known.lower(): known for known in names}
    if name.lower() not in spelled:
        raise ConfigError(
            f"calendar: unknown calendar {name!r}{did_you_mean(name, names)}; XNYS is New York, XLON London, XETR "
            "Frankfurt, XTKS Tokyo; all names: exchange_calendars.get_calendar_names()"
        )
    return str(library.resolve_alias(spelled[name.lower()]))


def _milliseconds(moments: Any) -> Times:
    """Return the UTC ms [T] of a column or index of times; a missing one is some number."""
    return np.asarray(moments.to_numpy(dtype="datetime64[ns]").astype("datetime64[ms]").astype(np.int64))


def _library(name: str) -> Any:
    try:
        import exchange_calendars
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"the calendar {name} needs the package exchange_calendars; install it with "
            "pip install 'scorenet[calendars]'"
        ) from error
    return exchange_calendars


def _from_first_year(library: Any, name: str) -> Any:
    for year in _SINCE:
        try:
            return library.get_calendar(name, start=f"{year}-01-01")
        except ValueError:  # the holidays of that year are not recorded
            continue
    return library.get_calendar(name)
