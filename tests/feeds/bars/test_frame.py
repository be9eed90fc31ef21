import itertools
import pickle
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feeds.bars.frame import COLUMNS, Gap, as_bars, data_hash, find_gaps, to_arrays
from feeds.bars.times import iso
from feeds.errors import BadBars, BadSource, BadTimeframe, BarGap, FeedError
from tests.feeds.bars.frames import HOUR, START, small_frame, valid_frames

PRICES = ("open", "high", "low", "close")


@given(valid_frames())
@settings(max_examples=60, deadline=None)
def test_any_valid_bars_pass_unchanged_and_the_input_is_not_touched(frame):
    before = frame.copy(deep=True)
    bars = as_bars(frame, symbol="X", timeframe="1h")
    pd.testing.assert_frame_equal(frame, before)
    pd.testing.assert_frame_equal(bars, before)
    assert bars.attrs == {"symbol": "X", "timeframe": "1h", "source": ""}
    bars.loc[0, "open"] = -1.0
    pd.testing.assert_frame_equal(frame, before)


def _break(frame, row, kind):
    """Damage one row; return the column that must be named."""
    column, value = {
        "nan": ("volume", np.nan),
        "infinite": ("high", np.inf),
        "not_positive": ("low", 0.0),
        "negative": ("volume", -1e-9),
        "high_below_low": ("high", frame["low"].iloc[row] * (1 - 1e-9) if row >= 0 else 0),
        "outside_range": ("close", frame["high"].iloc[row] * (1 + 1e-9)),
    }[kind]
    frame.loc[row, column] = value
    return column, value


@given(valid_frames(min_bars=3), st.data())
@settings(max_examples=120, deadline=None)
def test_one_bad_cell_anywhere_is_named(frame, data):
    row = data.draw(st.integers(0, len(frame) - 1))
    kind = data.draw(
        st.sampled_from(["nan", "infinite", "not_positive", "negative", "high_below_low", "outside_range"])
    )
    column, value = _break(frame, row, kind)
    with pytest.raises(BadBars) as caught:
        as_bars(frame, timeframe="1h")
    error = caught.value
    stamp = int(frame["timestamp"].iloc[row])
    assert (error.row, error.column, error.timestamp, error.reason) == (row, column, stamp, kind)
    assert f"row {row} ({iso(stamp)}), column {column!r}" in str(error)
    assert str(value) in str(error)


@given(valid_frames(min_bars=3), st.data())
@settings(max_examples=60, deadline=None)
def test_duplicate_and_unsorted_times_are_named(frame, data):
    row = data.draw(st.integers(1, len(frame) - 1))
    shift, reason = data.draw(
        st.sampled_from([(0, "duplicate"), (-HOUR, "unsorted"), (-HOUR // 2, "unsorted")])
    )
    frame.loc[row, "timestamp"] = frame["timestamp"].iloc[row - 1] + shift
    with pytest.raises(BadBars) as caught:
        as_bars(frame)
    assert (caught.value.row, caught.value.column, caught.value.reason) == (row, "timestamp", reason)


@pytest.mark.parametrize(
    ("value", "reason"),
    [(None, "nan"), (pd.NA, "nan"), ("12", "dtype"), (True, "dtype"), (1j, "dtype"), (float("nan"), "nan")],
)
def test_objects_in_a_column(value, reason):
    frame = small_frame()
    frame["close"] = frame["close"].astype(object)
    frame.at[2, "close"] = value
    with pytest.raises(BadBars) as caught:
        as_bars(frame)
    assert (caught.value.row, caught.value.column, caught.value.reason) == (2, "close", reason)


@pytest.mark.parametrize("dtype", ["float32", "Float64", "object", "double[pyarrow]"])
def test_number_types_are_all_float64_afterwards(dtype):
    frame = small_frame()
    for name in PRICES:
        frame[name] = frame[name].astype(dtype)
    pd.testing.assert_frame_equal(as_bars(frame), small_frame())


def test_whole_and_decimal_numbers():
    frame = small_frame()
    frame["open"] = frame["open"].astype("int64")
    frame["close"] = [Decimal(str(value)) for value in frame["close"]]
    pd.testing.assert_frame_equal(as_bars(frame), small_frame())


@pytest.mark.parametrize("dtype", ["bool", "complex128"])
def test_columns_of_no_numbers(dtype):
    frame = small_frame()
    frame["volume"] = frame["volume"].astype(dtype)
    with pytest.raises(BadBars, match=f"column 'volume': expected numbers, found {dtype}"):
        as_bars(frame)


def test_missing_column_suggests_the_one_that_was_meant():
    with pytest.raises(BadBars, match=r"expected a column 'close'.*did you mean 'Close'"):
        as_bars(small_frame().rename(columns={"close": "Close"}))


def test_column_there_twice():
    frame = small_frame()
    frame.insert(1, "open", frame["open"], allow_duplicates=True)
    with pytest.raises(BadBars, match="expected each column once, found 'open' twice"):
        as_bars(frame)


def test_not_a_frame_and_empty():
    with pytest.raises(BadBars, match="expected a pandas DataFrame of bars, found list"):
        as_bars([1, 2])
    with pytest.raises(BadBars, match="at least one bar"):
        as_bars(small_frame().iloc[:0])


def test_mixed_symbols_are_refused_even_when_a_symbol_is_given():
    frame = small_frame()
    frame["symbol"] = ["BTC"] * 4 + ["ETH"]
    with pytest.raises(
        BadBars, match=r"one symbol, found 2 symbols in column 'symbol': BTC, ETH; choose one"
    ):
        as_bars(frame, symbol="BTC")
    frame["symbol"] = "BTC"
    assert as_bars(frame).attrs["symbol"] == "BTC"


def test_other_columns_are_dropped_and_the_order_is_the_contracts():
    frame = small_frame()
    frame["turnover"] = 1.0
    assert tuple(as_bars(frame[[*reversed(frame.columns)]]).columns) == COLUMNS


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("funding_rate", np.nan, "nan"),
        ("funding_rate", -np.inf, "infinite"),
        ("open_interest", np.nan, "nan"),
        ("open_interest", -1.0, "negative"),
    ],
)
def test_optional_columns_are_checked(column, value, reason):
    frame = small_frame()
    frame[column] = 0.0
    frame.loc[3, column] = value
    with pytest.raises(BadBars) as caught:
        as_bars(frame)
    assert (caught.value.row, caught.value.column, caught.value.reason) == (3, column, reason)


def test_the_timeframe_is_the_most_common_spacing():
    frame = small_frame(30, step=4 * HOUR).drop(index=[3, 4, 9]).reset_index(drop=True)
    assert as_bars(frame, gaps="keep").attrs["timeframe"] == "4h"


def test_unknown_spacing_and_a_single_bar():
    with pytest.raises(BadTimeframe, match="most common spacing of the bars is 420 s"):
        as_bars(small_frame(step=420_000))
    with pytest.raises(BadTimeframe, match="found one bar"):
        as_bars(small_frame(1))
    assert len(as_bars(small_frame(1), timeframe="1h")) == 1


def test_bars_off_the_grid():
    frame = small_frame()
    frame.loc[4, "timestamp"] += 60_000
    with pytest.raises(BadBars) as caught:
        as_bars(frame)
    assert (caught.value.row, caught.value.reason) == (4, "misaligned")
    with pytest.raises(BadBars, match="not on the 4h grid"):
        as_bars(small_frame(), timeframe="4h")


@pytest.mark.parametrize("gaps", ["raise", "keep", "ffill"])
def test_another_timeframe_is_not_taken_for_holes(gaps):
    with pytest.raises(BadBars, match="expected bars 1h apart, found none closer than 240 minutes"):
        as_bars(small_frame(step=4 * HOUR), timeframe="1h", gaps=gaps)


def test_gap_policies():
    frame = small_frame(8).drop(index=[2, 3, 6]).reset_index(drop=True)
    frame["funding_rate"] = 0.01
    frame["open_interest"] = [1.0, 2.0, 3.0, 4.0, 5.0]
    with pytest.raises(BarGap) as caught:
        as_bars(frame)
    assert (caught.value.row, caught.value.timestamp) == (2, START + 2 * HOUR)
    assert "2 bar(s) of 1h missing from 2024-01-01T02:00:00Z up to 2024-01-01T04:00:00Z" in str(caught.value)
    assert "3 missing in 2 holes" in str(caught.value)

    assert as_bars(frame, gaps="keep")["timestamp"].tolist() == frame["timestamp"].tolist()
    assert "filled" not in as_bars(frame, gaps="keep")

    filled = as_bars(frame, gaps="ffill")
    assert filled["timestamp"].tolist() == [START + k * HOUR for k in range(8)]
    assert filled["filled"].tolist() == [False, False, True, True, False, False, True, False]
    invented = filled[filled["filled"]]
    assert invented[list(PRICES)].to_numpy().tolist() == [[102.0] * 4] * 2 + [[106.0] * 4]
    assert invented["volume"].tolist() == [0.0] * 3
    assert invented["funding_rate"].tolist() == [0.0] * 3
    assert invented["open_interest"].tolist() == [2.0, 2.0, 4.0]
    real = filled.loc[~filled["filled"], frame.columns].reset_index(drop=True)
    pd.testing.assert_frame_equal(real, frame)


def test_filling_twice_keeps_the_marks():
    frame = small_frame(6).drop(index=[2]).reset_index(drop=True)
    once = as_bars(frame, gaps="ffill")
    pd.testing.assert_frame_equal(as_bars(once, gaps="ffill"), once)
    pd.testing.assert_frame_equal(as_bars(once), once)


def test_unknown_policy():
    with pytest.raises(BadSource, match="unknown gap policy 'fill'; expected one of raise, keep, ffill"):
        as_bars(small_frame(), gaps="fill")


@given(valid_frames(min_bars=4), st.data())
@settings(max_examples=60, deadline=None)
def test_holes_are_what_is_missing(frame, data):
    inner = st.sets(st.integers(1, len(frame) - 2), max_size=len(frame) - 2)
    dropped = sorted(data.draw(inner))
    holed = frame.drop(index=dropped).reset_index(drop=True)
    holes = find_gaps(holed, "1h")
    missing = [stamp for hole in holes for stamp in range(hole.start, hole.end, HOUR)]
    assert missing == frame["timestamp"].iloc[dropped].tolist()
    assert sum(hole.missing for hole in holes) == len(dropped)
    assert all(a.end < b.start for a, b in itertools.pairwise(holes))


def test_gap_fields():
    holed = small_frame(6).drop(index=[2, 3])
    assert find_gaps(holed, "1h") == [Gap(start=START + 2 * HOUR, end=START + 4 * HOUR, missing=2)]


def test_hash_depends_on_every_byte_and_on_nothing_else():
    bars = as_bars(small_frame(), symbol="A")
    assert len(data_hash(bars)) == 64
    assert data_hash(bars) == data_hash(as_bars(small_frame(), symbol="B"))
    for name in bars.columns:
        other = bars.copy()
        other.loc[4, name] += 1
        assert data_hash(other) != data_hash(bars)
    renamed = bars.assign(funding_rate=0.0)
    assert data_hash(renamed) != data_hash(bars.assign(open_interest=0.0))


def test_arrays_are_contiguous_copies():
    bars = as_bars(small_frame().assign(open_interest=1.0))
    arrays = to_arrays(bars)
    assert list(arrays) == [*COLUMNS, "open_interest"]
    assert all(array.flags["C_CONTIGUOUS"] and array.flags["WRITEABLE"] for array in arrays.values())
    arrays["open"][0] = -1
    assert bars["open"].iloc[0] == 100.0


def test_errors_survive_a_process_boundary():
    with pytest.raises(BadBars) as caught:
        as_bars(small_frame().assign(volume=-1.0))
    copy = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - our own bytes
    assert (str(copy), copy.row, copy.reason) == (str(caught.value), 0, "negative")
    assert isinstance(copy, FeedError)
    assert isinstance(copy, ValueError)
