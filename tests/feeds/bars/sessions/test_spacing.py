"""Bars of two sizes in one file are told from holes, and a market that rests at weekends from one that does not."""

import numpy as np
import pytest

from feeds.bars.frame import as_bars
from feeds.bars.sessions.spacing import Stretch, other_sizes, rests_at_weekends
from feeds.errors import BadBars, BarGap
from tests.feeds.bars.frames import HOUR, START, small_frame

DAY = 24 * HOUR


def mixed(hours, fours):
    """Hourly bars, then bars of 4 h."""
    frame = small_frame(hours + fours)
    last = START + (hours - 1) * HOUR
    late = (last // (4 * HOUR) + 1) * 4 * HOUR + 4 * HOUR * np.arange(fours)
    frame["timestamp"] = np.r_[START + HOUR * np.arange(hours), late]
    return frame


def test_another_bar_size_is_named_and_never_filled():
    frame = mixed(48, 25)
    expected = Stretch(timeframe="4h", start=START + 48 * HOUR, end=START + 144 * HOUR, bars=25)
    found = other_sizes(frame["timestamp"].to_numpy(), HOUR)
    assert found == [expected]
    for gaps in ("raise", "ffill"):
        with pytest.raises(
            BadBars, match=r"25 bars of 4h up to 2024-01-07T00:00:00Z among bars of 1h; split"
        ):
            as_bars(frame, timeframe="1h", gaps=gaps)
    assert len(as_bars(frame, timeframe="1h", gaps="keep")) == 73


def test_a_few_equal_holes_are_holes():
    assert other_sizes(mixed(48, 24)["timestamp"].to_numpy(), HOUR) == []
    with pytest.raises(BarGap):
        as_bars(mixed(48, 24), timeframe="1h")
    assert other_sizes(START + HOUR * np.arange(100), HOUR) == []
    assert other_sizes(np.array([START]), HOUR) == []


@pytest.mark.parametrize(
    ("weekdays", "rests"),
    [
        ((0, 1, 2, 3, 4), True),
        ((0, 1, 2, 3, 4, 6), True),
        ((0, 1, 2, 3, 4, 5, 6), False),
        ((0, 1, 2), False),
        ((5, 6), False),
    ],
)
def test_a_market_that_rests_at_weekends(weekdays, rests):
    """2024-01-01 was a Monday; futures open on Sunday evening."""
    days = START + DAY * np.array([k for k in range(60) if k % 7 in weekdays])
    assert rests_at_weekends(days) is rests
    assert rests_at_weekends(days[:5]) is False
    assert rests_at_weekends(days[:0]) is False


def test_the_error_for_a_weekend_says_that_nobody_trades():
    frame = small_frame(40, step=DAY)
    frame = frame[((frame["timestamp"] - START) // DAY) % 7 < 5]
    with pytest.raises(
        BarGap, match=r"at weekends: name its trading calendar, such as --calendar XNYS.*or leave the holes"
    ):
        as_bars(frame, timeframe="1d")
