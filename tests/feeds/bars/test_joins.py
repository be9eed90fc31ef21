import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feeds.bars.frame import as_bars
from feeds.bars.joins import join_funding, join_open_interest
from feeds.bars.settlements import LATE_MS
from feeds.errors import BadBars
from tests.feeds.bars.frames import HOUR, START, small_frame

MINUTE = 60_000


def funding_of(times, rates):
    return pd.DataFrame(
        {"timestamp": np.array(times, dtype=np.int64), "funding_rate": np.array(rates, dtype=float)}
    )


def interest_of(times, values):
    return pd.DataFrame(
        {"timestamp": np.array(times, dtype=np.int64), "open_interest": np.array(values, dtype=float)}
    )


def test_a_settlement_stands_on_the_bar_that_opens_at_its_instant():
    bars = as_bars(small_frame(4))
    joined = join_funding(bars, funding_of([START + 2 * HOUR], [0.01]))
    assert joined["funding_rate"].tolist() == [0.0, 0.0, 0.01, 0.0]
    assert joined.attrs == bars.attrs
    assert "funding_rate" not in bars


def test_settlements_off_the_grid_in_holes_and_outside():
    bars = as_bars(small_frame(6).drop(index=[3]), gaps="keep")
    times = [
        START - HOUR,  # belongs to the bar before the first
        START - HOUR + LATE_MS + 1,  # within (previous open, open] of the first bar
        START + MINUTE,
        START + 2 * HOUR - 1,
        START + 3 * HOUR,  # in the gap
        START + 4 * HOUR,
        START + 5 * HOUR + LATE_MS + 1,  # belongs to the bar after the last
    ]
    joined = join_funding(bars, funding_of(times, [1, 2, 4, 8, 16, 32, 64]))
    assert joined["funding_rate"].tolist() == [2.0, 4.0, 8.0, 48.0, 0.0]


def test_open_interest_is_the_last_value_known_at_the_open_and_at_most_a_day_old():
    bars = as_bars(small_frame(30))
    joined = join_open_interest(bars, interest_of([START + HOUR + 1, START + 3 * HOUR], [7.0, 9.0]))
    assert joined["open_interest"].tolist() == [0.0, 0.0, 7.0] + [9.0] * 25 + [0.0] * 2


@st.composite
def series(draw, low):
    minute = 60_000  # apart, so that no two stamps mean one settlement
    span = st.integers((START - 30 * HOUR) // minute, (START + 40 * HOUR) // minute)
    late = st.integers(0, minute - 1)
    times = sorted(m * minute + draw(late) for m in draw(st.sets(span, max_size=40)))
    values = draw(st.lists(st.floats(low, 1.0), min_size=len(times), max_size=len(times)))
    return times, values


def _meant(stamp):
    return stamp - stamp % HOUR if stamp % HOUR <= 5_000 else stamp


@given(series(-1.0), st.integers(1, 30))
@settings(max_examples=80, deadline=None)
def test_funding_uses_no_later_row_and_loses_none(rows, bars):
    times, rates = rows
    frame = as_bars(small_frame(bars), timeframe="1h")
    joined = join_funding(frame, funding_of(times, rates))["funding_rate"].to_numpy()
    for k in range(bars):
        opened = START + k * HOUR
        settled = [
            rate for time, rate in zip(times, rates, strict=True) if opened - HOUR < _meant(time) <= opened
        ]
        assert joined[k] == pytest.approx(sum(settled), abs=1e-12)
    cut = bars // 2
    known = [
        (time, rate) for time, rate in zip(times, rates, strict=True) if _meant(time) <= START + cut * HOUR
    ]
    past = join_funding(frame, funding_of(*(zip(*known, strict=True) if known else ([], []))))
    assert past["funding_rate"].to_numpy()[: cut + 1].tolist() == joined[: cut + 1].tolist()


@given(series(0.0), st.integers(1, 30))
@settings(max_examples=80, deadline=None)
def test_open_interest_uses_no_later_row(rows, bars):
    times, values = rows
    joined = join_open_interest(as_bars(small_frame(bars), timeframe="1h"), interest_of(times, values))
    for k, found in enumerate(joined["open_interest"]):
        opened = START + k * HOUR
        known = [v for t, v in zip(times, values, strict=True) if opened - 24 * HOUR <= t <= opened]
        assert found == (known[-1] if known else 0.0)


@pytest.mark.parametrize(
    ("times", "values", "reason", "row"),
    [
        ([START, START], [1.0, 2.0], "duplicate", 1),
        ([START + 1, START], [1.0, 2.0], "unsorted", 1),
        ([START, START + 1], [1.0, np.nan], "nan", 1),
        ([START, START + 1], [np.inf, 1.0], "nan", 0),
    ],
)
def test_bad_series_are_refused(times, values, reason, row):
    for join, frame in (
        (join_funding, funding_of(times, values)),
        (join_open_interest, interest_of(times, values)),
    ):
        with pytest.raises(BadBars) as caught:
            join(as_bars(small_frame()), frame)
        assert (caught.value.reason, caught.value.row) == (reason, row)


def test_negative_open_interest_text_and_missing_columns():
    bars = as_bars(small_frame())
    with pytest.raises(
        BadBars, match=r"open_interest row 0 \(2024-01-01T00:00:00Z\): expected a value >= 0, found -1.0"
    ):
        join_open_interest(bars, interest_of([START], [-1.0]))
    with pytest.raises(BadBars, match="expected a column 'funding_rate', found timestamp, open_interest"):
        join_funding(bars, interest_of([START], [1.0]))
    text = funding_of([START], [1.0]).astype({"funding_rate": object})
    text.loc[0, "funding_rate"] = "much"
    with pytest.raises(BadBars, match="column 'funding_rate': expected numbers"):
        join_funding(bars, text)


@pytest.mark.parametrize(
    ("late", "bar"), [(0, 8), (6, 8), (LATE_MS, 8), (LATE_MS + 1, 9), (30 * MINUTE, 9), (-6, 8)]
)
def test_a_settlement_stamped_a_little_late_belongs_to_its_hour(late, bar):
    bars = as_bars(small_frame(12))
    joined = join_funding(bars, funding_of([START + 8 * HOUR + late], [0.01]))
    assert np.flatnonzero(joined["funding_rate"]).tolist() == [bar]


def test_a_stamp_half_a_minute_past_a_minute_bar_is_moved_nowhere():
    frame = small_frame(10)
    frame["timestamp"] = START + MINUTE * np.arange(10)
    joined = join_funding(as_bars(frame), funding_of([START + 3 * MINUTE + 6], [0.01]))
    assert np.flatnonzero(joined["funding_rate"]).tolist() == [4]


def test_one_settlement_stamped_twice_is_refused():
    with pytest.raises(BadBars, match="the settlement of the row before again") as caught:
        join_funding(as_bars(small_frame()), funding_of([START + HOUR, START + HOUR + 6], [0.01, 0.01]))
    assert (caught.value.reason, caught.value.row) == ("duplicate", 1)
