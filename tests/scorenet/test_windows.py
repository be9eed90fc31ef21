"""Splits: no training row uses a price of the next part, and no later row uses bars of the previous part."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scorenet import TooFewBars
from scorenet.windows import chronological_split

HOUR = 3_600_000


@settings(max_examples=60, deadline=None)
@given(
    st.integers(600, 3_000), st.integers(1, 30), st.integers(0, 40), st.integers(1, 3), st.integers(0, 500)
)
def test_parts_share_no_bar(bars, horizon, embargo, symbols, late):
    times = np.concatenate([np.arange(i * late % bars, bars) * HOUR for i in range(symbols)])
    split = chronological_split(times, horizon=horizon, embargo=embargo, step_ms=HOUR, minimum=1)
    for earlier, later in ((split.train, split.validation), (split.validation, split.test)):
        last_price_seen = times[earlier].max() + horizon * HOUR
        first_price_seen = times[later].min() - embargo * HOUR
        assert last_price_seen < times[later].min()
        assert times[earlier].max() < first_price_seen
    everything = np.concatenate((split.train, split.validation, split.test))
    assert len(np.unique(everything)) == len(everything)
    assert (np.diff(times[split.train]) >= 0).all()


def test_shares_are_seventy_fifteen_fifteen():
    times = np.arange(10_000) * HOUR
    split = chronological_split(times, horizon=0, embargo=0, step_ms=HOUR)
    assert [len(part) for part in (split.train, split.validation, split.test)] == [7_000, 1_500, 1_500]


def test_too_few_rows_say_how_many_are_needed():
    with pytest.raises(TooFewBars, match=r"need [\d,]+, have 100"):
        chronological_split(np.arange(100) * HOUR, horizon=5, embargo=720, step_ms=HOUR)
    with pytest.raises(TooFewBars):
        chronological_split(np.array([], dtype=np.int64), horizon=5, embargo=5, step_ms=HOUR)


def test_the_number_it_asks_for_is_enough():
    with pytest.raises(TooFewBars) as caught:
        chronological_split(np.arange(500) * HOUR, horizon=24, embargo=200, step_ms=HOUR)
    enough = np.arange(caught.value.need + 10) * HOUR
    assert len(chronological_split(enough, horizon=24, embargo=200, step_ms=HOUR).validation) >= 16
