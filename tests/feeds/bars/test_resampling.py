import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feeds.bars.frame import as_bars, resample
from feeds.bars.joins import join_funding, join_open_interest
from feeds.errors import BadBars, BadTimeframe, MissingData
from feeds.simulated.api import simulate
from tests.feeds.bars.frames import HOUR, START, small_frame


def test_four_hours_by_hand():
    bars = as_bars(small_frame(11, start=START + 3 * HOUR), symbol="X")
    long = resample(bars, "4h")
    # The bars open at 3, 4, ... 13 h: 4-7 and 8-11 are whole, 3 and 12-13 are not.
    assert long["timestamp"].tolist() == [START + 4 * HOUR, START + 8 * HOUR]
    assert long[["open", "high", "low", "close"]].to_numpy().tolist() == [
        [101, 106, 100, 105],
        [105, 110, 104, 109],
    ]
    assert long["volume"].tolist() == [11 + 12 + 13 + 14, 15 + 16 + 17 + 18]
    assert long.attrs == {"symbol": "X", "timeframe": "4h", "source": ""}


def test_funding_at_a_long_open_belongs_to_that_bar():
    settled = pd.DataFrame({"timestamp": [START + 4 * HOUR, START + 5 * HOUR], "funding_rate": [0.5, 0.25]})
    long = resample(join_funding(as_bars(small_frame(12)), settled), "4h")
    assert long["funding_rate"].tolist() == [0.0, 0.5, 0.25]


@given(
    st.integers(0, 23), st.integers(8, 120), st.sampled_from(["2h", "4h", "12h", "1d"]), st.integers(0, 2**31)
)
@settings(max_examples=40, deadline=None)
def test_resampling_commutes_with_joining(offset, bars, timeframe, seed):
    rng = np.random.default_rng(seed)
    times = np.sort(rng.choice(np.arange(-10, 150 * 6), size=40, replace=False)) * (HOUR // 6) + START
    extra = pd.DataFrame(
        {"timestamp": times, "funding_rate": rng.normal(size=40), "open_interest": rng.random(40)}
    )
    frame = as_bars(small_frame(bars, start=START + offset * HOUR))
    try:
        plain = resample(frame, timeframe)
    except MissingData:
        return
    before = resample(join_open_interest(join_funding(frame, extra), extra), timeframe)
    after = join_open_interest(join_funding(plain, extra), extra)
    # The first long bar would need settlements from before the frame.
    np.testing.assert_allclose(before["funding_rate"][1:], after["funding_rate"][1:], atol=1e-12)
    np.testing.assert_array_equal(before["open_interest"], after["open_interest"])
    pd.testing.assert_frame_equal(before[plain.columns], plain)


def test_two_steps_are_one_step():
    bars = simulate("regimes", bars=24 * 20)
    twice = resample(resample(bars, "4h"), "1d")
    once = resample(bars, "1d")
    np.testing.assert_allclose(twice.to_numpy(), once.to_numpy(), rtol=1e-12)


def test_a_hole_inside_a_long_bar_leaves_what_was_traded():
    bars = as_bars(small_frame(12).drop(index=[5, 6]), gaps="keep")
    long = resample(bars, "4h")
    assert long["volume"].tolist() == [46.0, 14.0 + 17.0, 18.0 + 19 + 20 + 21]
    filled = resample(as_bars(small_frame(12).drop(index=[4, 5, 6, 7]), gaps="ffill"), "4h")
    assert filled["filled"].tolist() == [False, True, False]


def test_what_cannot_be_resampled():
    bars = as_bars(small_frame(3))
    with pytest.raises(MissingData, match="no whole 4h bar in 3 bars of 1h"):
        resample(bars, "4h")
    with pytest.raises(BadTimeframe, match="cannot build 30m bars from 1h bars"):
        resample(bars, "30m")
    with pytest.raises(BadBars, match="pass it through as_bars first"):
        resample(small_frame(9), "4h")


def test_a_long_bar_opens_where_the_first_trade_was_and_not_in_a_filled_bar():
    # 00:00 to 02:00 traded at 10, 02:00 to 06:00 missing, then 20: the bar from 04:00 opens at 20.
    frame = pd.DataFrame({"timestamp": [START + i * HOUR for i in (0, 1, 6, 7)], "volume": 1.0})
    for name in ("open", "high", "low", "close"):
        frame[name] = [10.0, 10.0, 20.0, 20.0]
    long = resample(as_bars(frame, symbol="X", timeframe="1h", gaps="ffill"), "4h")
    assert long["open"].tolist() == [10.0, 20.0]
    assert long["filled"].tolist() == [False, False]
