import datetime as dt

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feeds.bars.times import iso, parse_time, utc_ms
from feeds.errors import BadBars, BadSource

JULY = 1_719_792_000_000  # 2024-07-01T00:00:00Z


@pytest.mark.parametrize(
    "text",
    [
        "2024-07-01",
        "20240701",
        "2024-07-01T00:00",
        "2024-07-01 00:00:00",
        "2024-07-01T00:00:00Z",
        "2024-07-01T02:00:00+02:00",
        "1719792000000",
        JULY,
        np.int64(JULY),
        dt.date(2024, 7, 1),
        dt.datetime(2024, 7, 1),  # noqa: DTZ001 - naive on purpose
        dt.datetime(2024, 7, 1, 2, tzinfo=dt.timezone(dt.timedelta(hours=2))),
        pd.Timestamp("2024-07-01", tz="UTC"),
    ],
)
def test_every_way_to_write_an_instant(text):
    assert parse_time(text) == JULY


@pytest.mark.parametrize(
    ("junk", "says"),
    [
        ("yesterday", "expected a date such as"),
        ("2024-13-01", "expected a date such as"),
        (1_719_792_000, "looks like seconds"),
        (JULY * 1000, "looks like microseconds"),
        (JULY * 1_000_000, "looks like nanoseconds"),
        (12, "no plausible time"),
        (1.5, "expected a date, ISO text"),
        (True, "expected a date, ISO text"),
        (pd.NaT, "NaT"),
    ],
)
def test_junk_is_refused(junk, says):
    with pytest.raises(BadSource, match=says):
        parse_time(junk)


@given(st.integers(10**11, 10**13 - 1))
def test_iso_round_trips(ms):
    assert parse_time(iso(ms)) == ms


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/New_York"])
@pytest.mark.parametrize("place", ["column", "index", "object"])
def test_aware_times_of_any_resolution_and_zone(unit, zone, place):
    # Over the change to summer time, where local clocks skip an hour.
    times = pd.date_range("2024-03-30 22:00", periods=30, freq="h", tz="UTC", unit=unit).tz_convert(zone)
    first = 1_711_836_000_000
    values = pd.DataFrame({"open": np.zeros(30)})
    if place == "index":
        values.index = times
    else:
        values["timestamp"] = times.astype(object) if place == "object" else times
    assert utc_ms(values).tolist() == [first + 3_600_000 * k for k in range(30)]


@pytest.mark.parametrize(
    ("values", "reason", "row"),
    [
        (pd.date_range("2024-01-01", periods=3, freq="h"), "naive", None),
        ([JULY // 1000] * 3, "unit", 0),
        ([JULY, JULY * 1_000_000, JULY], "unit", 1),
        ([JULY, 0, JULY], "unit", 1),
        ([float(JULY), np.nan, float(JULY)], "nan", 1),
        ([float(JULY), JULY + 0.5, float(JULY)], "unit", 1),
        ([float(JULY), np.inf, float(JULY)], "unit", 1),
        (["2024-01-01T00:00:00Z", "2024-01-01T01:00:00", "x"], "naive", 1),
        (["2024-01-01T00:00:00Z", "2024-01-01T01:00:00Z", "x"], "naive", 2),
        (["2024-01-01T00:00:00Z", None, "x"], "nan", 1),
        ([dt.datetime(2024, 1, 1, tzinfo=dt.UTC), dt.date(2024, 1, 2), None], "naive", 1),
        (pd.to_datetime(["2024-01-01", None, "2024-01-02"]).tz_localize("UTC"), "nan", 1),
        ([True, False, True], "unit", 0),
    ],
)
def test_times_that_are_refused(values, reason, row):
    with pytest.raises(BadBars) as caught:
        utc_ms(pd.DataFrame({"timestamp": values}))
    assert (caught.value.reason, caught.value.row, caught.value.column) == (reason, row, "timestamp")


def test_fractions_of_a_millisecond_are_refused():
    times = pd.DatetimeIndex([pd.Timestamp(JULY * 1_000_000 + 1, tz="UTC")])
    with pytest.raises(BadBars, match="not on a whole millisecond"):
        utc_ms(pd.DataFrame({"open": [1.0]}, index=times))


def test_no_time_at_all_says_what_was_found():
    with pytest.raises(BadBars, match=r"expected a column 'timestamp'.* found columns open, close"):
        utc_ms(pd.DataFrame({"open": [1.0], "close": [1.0]}))
