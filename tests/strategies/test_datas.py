"""Conversion of Backtrader's dates and bar sizes."""

from datetime import datetime
from types import SimpleNamespace

import backtrader as bt
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorenet.base.times import float_days
from strategies.datas import bar_milliseconds, periods_per_year, symbol_of, to_milliseconds


@given(st.integers(0, 4_000_000_000))
def test_whole_seconds_survive_backtraders_float_dates(seconds):
    date = bt.date2num(datetime.utcfromtimestamp(seconds))  # noqa: DTZ004 - Backtrader's clock is naive UTC
    assert to_milliseconds(date) == seconds * 1_000
    assert to_milliseconds(float_days(seconds * 1_000)) == seconds * 1_000


def test_columns_of_dates_are_int64():
    converted = to_milliseconds([float_days(0), float_days(1_500)])
    assert converted.dtype == np.int64
    assert converted.tolist() == [0, 2_000]


@pytest.mark.parametrize(
    ("timeframe", "compression", "size"),
    [
        (bt.TimeFrame.Minutes, 60, 3_600_000),
        (bt.TimeFrame.Days, 1, 86_400_000),
        (bt.TimeFrame.Seconds, 5, 5_000),
    ],
)
def test_the_bar_size_follows_from_the_timeframe(timeframe, compression, size):
    assert bar_milliseconds(SimpleNamespace(_timeframe=timeframe, _compression=compression)) == size


def test_the_bar_size_stated_by_a_data_is_used():
    assert bar_milliseconds(SimpleNamespace(bar_ms=900_000, _timeframe=bt.TimeFrame.Days)) == 900_000


def test_months_have_no_length():
    data = SimpleNamespace(_timeframe=bt.TimeFrame.Months, _compression=1, _name="BTC")
    with pytest.raises(ValueError, match=r"BTC: .*found timeframe Month"):
        bar_milliseconds(data)


def test_a_year_has_8760_hours():
    assert periods_per_year(3_600_000) == 8_760.0


def test_a_data_without_a_name_has_a_number():
    assert symbol_of(SimpleNamespace(_name="", _id=2)) == "data2"
    assert symbol_of(SimpleNamespace(_name="BTC", _id=2)) == "BTC"
