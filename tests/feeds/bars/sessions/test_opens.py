"""Bars on a trading calendar: what their stamps mean, what is a hole, what is filled."""

from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from feeds import BadBars, BarGap, as_bars, find_gaps, read_bars, resample, write_bars
from feeds.bars.frame import with_gaps
from tests.stocks import HOUR_MS, never_closed, on_sessions, utc

DAYS = ["2024-07-01", "2024-07-02", "2024-07-03", "2024-07-05", "2024-07-08"]  # no 4th of July, no weekend
STAMPS = {
    "midnight UTC": [utc(day) for day in DAYS],
    "midnight there": [utc(f"{day}T04:00") for day in DAYS],
    "open": [utc(f"{day}T13:30") for day in DAYS],
    "close": [utc(f"{day}T{'17' if day == '2024-07-03' else '20'}:00") for day in DAYS],
}


def bars_at(times, prices=None):
    quote = np.arange(len(times)) + 100.0 if prices is None else prices
    return pd.DataFrame(
        {"timestamp": times, **dict.fromkeys(("open", "high", "low", "close"), quote), "volume": 1.0}
    )


@pytest.mark.parametrize("times", STAMPS.values(), ids=STAMPS)
def test_a_daily_bar_opens_at_midnight_utc_of_its_session(times):
    bars = as_bars(bars_at(times), symbol="SPY", timeframe="1d", calendar="nyse")
    assert bars["timestamp"].tolist() == STAMPS["midnight UTC"]
    assert bars.attrs["calendar"] == "XNYS"
    assert as_bars(bars)["timestamp"].tolist() == STAMPS["midnight UTC"]  # it knows its calendar


@pytest.mark.parametrize(
    ("times", "timeframe", "words"),
    [
        (
            [utc("2024-07-03"), utc("2024-07-04"), utc("2024-07-05")],
            "1d",
            "row 1 .*XNYS has no session on this day",
        ),
        (
            [utc("2024-07-03T04:00"), utc("2024-07-03T13:30")],
            "1d",
            "row 1 .*second bar of the session 2024-07-03",
        ),
        (
            [utc("2024-07-03T13:30"), utc("2024-07-03T14:00")],
            "1h",
            "row 1 .*opens at this time.*2024-07-03T13:30:00Z",
        ),
        (
            [utc("2024-07-03T16:30"), utc("2024-07-03T17:30")],
            "1h",
            "row 1 .*one opens at 2024-07-05T13:30:00Z",
        ),
    ],
    ids=["a holiday", "twice", "off the grid", "after a half day"],
)
def test_a_time_outside_the_sessions_is_named(times, timeframe, words):
    with pytest.raises(BadBars, match=words):
        as_bars(bars_at(times), symbol="SPY", timeframe=timeframe, calendar="XNYS")


def test_only_bars_missing_within_sessions_are_holes_and_are_filled():
    """Missing are 2024-07-03 20:00 UTC on to the end, that is nothing (half day), and two bars of 2024-07-05."""
    opens = [utc(f"2024-07-03T{hour}:30") for hour in range(13, 17)]
    opens += [utc(f"2024-07-05T{hour}:30") for hour in (13, 14, 17, 18, 19)] + [utc("2024-07-08T13:30")]
    kept = as_bars(bars_at(opens), symbol="SPY", timeframe="1h", gaps="keep", calendar="XNYS")
    (hole,) = find_gaps(kept, "1h")
    assert (hole.start, hole.end, hole.missing) == (utc("2024-07-05T15:30"), utc("2024-07-05T17:30"), 2)
    with pytest.raises(
        BarGap, match=r"2 bar\(s\) of 1h missing from 2024-07-05T15:30:00Z .* of trading hours of XNYS"
    ):
        with_gaps(kept, "raise")
    filled = with_gaps(kept, "ffill")
    assert filled["timestamp"].tolist() == sorted([*opens, utc("2024-07-05T15:30"), utc("2024-07-05T16:30")])
    assert filled.loc[filled["filled"], "close"].tolist() == [105.0, 105.0]
    assert filled["filled"].sum() == 2


def test_a_missing_session_is_a_hole():
    times = [utc(day) for day in ("2024-07-02", "2024-07-05", "2024-07-08")]
    bars = as_bars(bars_at(times), symbol="SPY", timeframe="1d", gaps="keep", calendar="XNYS")
    assert [(hole.start, hole.missing) for hole in find_gaps(bars, "1d")] == [(utc("2024-07-03"), 1)]


def test_a_parquet_file_keeps_the_calendar_and_a_csv_is_told(tmp_path):
    bars = on_sessions(never_closed(30), "2024-03-07T14:30")  # over the change to summer time
    # From Friday 20:30 to Monday 13:30, an hour less than over other weekends.
    assert np.diff(bars["timestamp"]).max() == 65 * HOUR_MS
    for name, calendar in (("spy_1h.parquet", None), ("spy_1h.csv", "XNYS")):
        write_bars(bars, tmp_path / name)
        again = read_bars(tmp_path / name, symbol="SPY", calendar=calendar)
        pd.testing.assert_frame_equal(again, bars, check_exact=True)
        assert again.attrs["calendar"] == "XNYS"
    with pytest.raises(BadBars, match=r"not on the 1h grid.*a market that closes, name its trading calendar"):
        read_bars(tmp_path / "spy_1h.csv")


def test_midnights_of_the_exchange_in_a_file_are_sessions(tmp_path):
    zone = ZoneInfo("America/New_York")
    dates = [pd.Timestamp(day, tz=zone).isoformat(sep=" ") for day in DAYS]
    rows = [f"{date},100,101,99,100,7" for date in dates]
    (tmp_path / "SPY.csv").write_text("\n".join(["Date,Open,High,Low,Close,Volume", *rows]))
    bars = read_bars(tmp_path / "SPY.csv", timeframe="1d", calendar="XNYS")
    assert bars["timestamp"].tolist() == STAMPS["midnight UTC"]


def test_bars_with_a_calendar_are_not_resampled_by_utc_hours():
    with pytest.raises(BadBars, match="bars of XNYS are not resampled"):
        resample(on_sessions(never_closed(30), "2024-03-07T14:30"), "2h")
