"""Trading time against sessions written by hand, and what holds for any sessions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scorenet import ConfigError
from scorenet.base.times import DAY_MS
from scorenet.calendars import AlwaysOpen, TradingClock
from tests.stocks import HOUR_MS, utc

# New York, by hand: Friday 2023-11-03 in summer time (09:30 is 13:30 UTC), the clocks go back on Sunday, Monday in
# winter time (14:30 UTC); Thanksgiving is closed, and the day after it ends at 13:00 (18:00 UTC).
OPENS = [utc(f"2023-11-{day}") for day in ("03T13:30", "06T14:30", "22T14:30", "24T14:30")]
CLOSES = [utc(f"2023-11-{day}") for day in ("03T20:00", "06T21:00", "22T21:00", "24T18:00")]
HOURLY = TradingClock.of("HAND", HOUR_MS, OPENS, CLOSES)


def test_hourly_bars_are_counted_from_the_open_and_the_last_one_is_half_an_hour():
    bars = HOURLY.opens(OPENS[0], utc("2023-11-24T17:30"))
    stamps = np.datetime_as_string(bars.astype("datetime64[ms]"), unit="m").tolist()
    assert stamps[:8] == [f"2023-11-03T{hour}:30" for hour in range(13, 20)] + ["2023-11-06T14:30"]
    assert stamps[13] == "2023-11-06T20:30"  # trades until 21:00, stamped until 21:30
    assert stamps[21:] == [
        f"2023-11-24T{hour}:30" for hour in range(14, 18)
    ]  # half day: 3.5 hours, four bars
    assert len(bars) == 3 * 7 + 4
    assert HOURLY.is_open(bars).all()


@pytest.mark.parametrize(
    ("earlier", "later", "bars"),
    [
        ("2023-11-03T19:30", "2023-11-06T14:30", 1),  # a weekend, in which the clocks change
        ("2023-11-22T20:30", "2023-11-24T14:30", 1),  # a holiday
        ("2023-11-03T13:30", "2023-11-06T14:30", 7),  # a whole session
        ("2023-11-22T14:30", "2023-11-24T17:30", 10),
        ("2023-11-03T20:30", "2023-11-06T15:30", 1),  # closes of neighbours
    ],
)
def test_bars_that_follow_one_another_are_one_step_apart(earlier, later, bars):
    low, high = HOURLY.trading_ms([utc(earlier), utc(later)])
    assert high - low == bars * HOUR_MS


def test_trading_time_stands_still_while_the_market_is_closed():
    stamps = [utc(f"2023-11-{day}") for day in ("03T20:30", "03T23:00", "05T12:00", "06T14:30")]
    assert np.unique(HOURLY.trading_ms(stamps)).tolist() == [7 * HOUR_MS]
    assert not HOURLY.is_open(stamps[:3]).any()
    assert not HOURLY.is_open([utc("2023-11-03T14:00"), utc("2023-11-02T13:30")]).any()


def test_a_day_counts_as_a_whole_whatever_hour_the_file_stamps():
    days = [utc(f"2023-11-{day}") for day in ("03", "06", "22", "24")]
    daily = TradingClock.of("HAND", DAY_MS, days, np.array(days) + DAY_MS)
    assert (daily.trading_ms(days) // DAY_MS).tolist() == [0, 1, 2, 3]
    closes = [utc(f"2023-11-{day}") for day in ("03T20:00", "06T21:00", "22T21:00", "24T18:00")]
    assert (daily.trading_ms(closes) // DAY_MS).tolist() == [1, 2, 3, 4]
    assert daily.trading_ms(utc("2023-11-04")) == daily.trading_ms(
        utc("2023-11-06")
    )  # Friday's end, Monday's begin


def test_a_year_is_counted_by_hand():
    """Two sessions of seven bars a week for two years: 208 sessions in 730 days."""
    weeks = np.arange(104) * 7 * DAY_MS + utc("2021-01-04T14:30")
    opens = np.sort(np.concatenate([weeks, weeks + DAY_MS, [utc("2022-12-30T14:30")]]))
    clock = TradingClock.of("HAND", HOUR_MS, opens, opens + 6 * HOUR_MS + HOUR_MS // 2)
    span = (opens[-1] + 7 * HOUR_MS - opens[0]) / (365 * DAY_MS)
    assert clock.bars_per_year == pytest.approx(209 * 7 / span)
    assert clock.days_per_year == pytest.approx(209 / span)


def test_bars_that_do_not_fit_between_two_sessions_are_refused():
    morning, noon = utc("2024-01-02T01:30"), utc("2024-01-02T05:00")
    with pytest.raises(ConfigError, match="bars of 120 minutes do not fit its sessions"):
        TradingClock.of(
            "HAND", 2 * HOUR_MS, [morning, noon], [morning + 5 * HOUR_MS // 2, noon + 3 * HOUR_MS]
        )


def test_a_market_that_never_closes_has_utc_as_its_time():
    clock, times = AlwaysOpen(HOUR_MS), np.array([utc("2024-01-06"), utc("2024-01-08T00:30")])
    assert clock.trading_ms(times) is times
    assert clock.open_at(times) is times
    assert clock.is_open(times).tolist() == [True, False]
    assert (clock.bars_per_year, clock.days_per_year) == (8_760.0, 365.0)
    assert clock.opens(0, 2 * HOUR_MS).tolist() == [0, HOUR_MS, 2 * HOUR_MS]


@st.composite
def clocks(draw):
    """Sessions of any length with any pauses between them, at any bar size."""
    step = draw(st.sampled_from([60_000, 300_000, HOUR_MS]))
    lengths = draw(st.lists(st.integers(1, 5 * HOUR_MS), min_size=1, max_size=20))
    pauses = draw(st.lists(st.integers(step, 90 * HOUR_MS), min_size=len(lengths), max_size=len(lengths)))
    opens = utc("2020-01-01") + np.cumsum([0, *(np.array(lengths) + pauses)])[:-1]
    return TradingClock.of("ANY", step, opens, opens + lengths)


@settings(max_examples=60, deadline=None)
@given(clocks(), st.lists(st.integers(0, 20 * 90 * HOUR_MS), min_size=2, max_size=30))
def test_trading_time_never_goes_back_and_its_steps_are_the_bars(clock, offsets):
    times = np.sort(clock.begins[0] + np.array(offsets))
    assert (np.diff(clock.trading_ms(times)) >= 0).all()
    bars = clock.opens(int(clock.begins[0]), int(clock.ends[-1] - clock.step_ms))
    assert (np.diff(bars) >= clock.step_ms).all()
    assert clock.is_open(bars).all()
    assert set(clock.begins.tolist()) <= set(bars.tolist())
    for stamps in (bars, bars + clock.step_ms):  # opens and closes alike
        assert (np.diff(clock.trading_ms(stamps)) == clock.step_ms).all()
    np.testing.assert_array_equal(clock.open_at(clock.trading_ms(bars)), bars)
