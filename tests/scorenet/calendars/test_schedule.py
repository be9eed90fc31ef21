"""The sessions of the library, and the errors for a wrong name and a missing package."""

import sys

import numpy as np
import pytest

from scorenet import ConfigError
from scorenet.base.times import DAY_MS
from scorenet.calendars import canonical_name, clock_of, exchange_schedule
from tests.stocks import HOUR_MS, utc


def test_new_york_has_its_holidays_half_days_and_summer_time():
    clock = clock_of("XNYS", HOUR_MS)
    opens = np.array([utc(text) for text in ("2024-07-03T13:30", "2024-07-05T13:30", "2024-11-04T14:30")])
    assert clock.is_open(opens).all()
    closed = [
        utc(text) for text in ("2024-07-04T13:30", "2024-07-06T13:30", "2024-11-04T13:30", "2024-07-03T17:30")
    ]
    assert not clock.is_open(closed).any()
    passed = np.diff(clock.trading_ms(opens)) // HOUR_MS
    assert passed[0] == 4  # 2024-07-03 closes at 13:00: 3.5 hours
    # By hand, without Labor Day: 19 + 22 + 20 + 23 + 1 sessions from July 5th to November 1st, of seven bars each.
    assert passed[1] == 85 * 7


def test_a_year_of_new_york_has_252_sessions_or_so():
    """2,516 sessions in the ten years 2010 to 2019, of 3,652 days."""
    clock = clock_of("NYSE", DAY_MS)
    assert clock.calendar == "XNYS"
    assert clock.bars_per_year == pytest.approx(2_516 * 365 / 3_652, rel=1e-3)
    assert clock.days_per_year == clock.bars_per_year
    assert clock_of("XNYS", HOUR_MS).days_per_year == clock.days_per_year


@pytest.mark.parametrize(
    "stamp",
    ["2024-07-05", "2024-07-05T04:00", "2024-07-05T13:30", "2024-07-05T20:00"],
    ids=["midnight UTC", "midnight there", "open", "close"],
)
def test_a_daily_bar_belongs_to_the_session_of_its_date(stamp):
    assert exchange_schedule("XNYS").days_of([utc(stamp)]).tolist() == [utc("2024-07-05")]


def test_a_day_without_a_session_has_none():
    closed = [utc("2024-07-04"), utc("2024-07-06"), utc("2024-07-04T04:00"), utc("1900-01-02")]
    assert exchange_schedule("XNYS").days_of(closed).tolist() == [-1] * 4


@pytest.mark.parametrize(("name", "hint"), [("XNYSE", "did you mean 'XNYS'"), ("moon", "XNYS is New York")])
def test_an_unknown_calendar_is_answered_with_a_known_one(name, hint):
    with pytest.raises(ConfigError, match=f"unknown calendar '{name}'.*{hint}"):
        clock_of(name, DAY_MS)


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "exchange_calendars", None)
    with pytest.raises(ConfigError, match=r"pip install 'scorenet\[calendars\]'"):
        canonical_name("XNYS")
    assert canonical_name(None) is None
    assert clock_of(None, HOUR_MS).trading_ms([5]).tolist() == [5]
