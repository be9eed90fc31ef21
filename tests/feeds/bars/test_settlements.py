"""Settlements that a funding series lacks are found, and no others."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feeds import load_bars, read_bars
from feeds.bars.settlements import funding_holes, settlement_times
from feeds.errors import BadBars, MissingData
from feeds.store.importing import store_bars
from feeds.store.keys import SeriesKey
from feeds.store.series_store import read_series, series_info
from runs.data import import_bars
from tests.feeds.bars.frames import HOUR, START, small_frame

BARS = 240
DUE = np.arange(START + 8 * HOUR, START + BARS * HOUR, 8 * HOUR)  # 29 settlements within the bars


def write(folder, times, bars=BARS, column="funding_rate", name="funding", value=0.0001):
    small_frame(bars).to_parquet(folder / "X_1h.parquet")
    values = np.full(len(times), value)
    pd.DataFrame({"timestamp": np.asarray(times, dtype=np.int64), column: values}).to_parquet(
        folder / f"X_{name}.parquet"
    )
    return folder / "X_1h.parquet"


def test_a_whole_funding_file_costs_every_settlement(tmp_path):
    # A long unit at a price of about 100 pays 29 x 0.0001 x 100 = 0.29.
    assert read_bars(write(tmp_path, DUE))["funding_rate"].sum() == pytest.approx(29 * 0.0001)


@pytest.mark.parametrize(
    ("times", "hole"),
    [
        (DUE[:10], r"from 2024-01-04T16:00:00Z up to 2024-01-10T23:00:00Z"),  # ends early
        (DUE[6:], r"from 2024-01-01T00:00:00Z up to 2024-01-03T08:00:00Z"),  # starts late
        (np.delete(DUE, 12), r"from 2024-01-05T08:00:00Z up to 2024-01-05T16:00:00Z"),  # one is missing
        (np.delete(DUE, [4, 5, 20]), r"from 2024-01-02T16:00:00Z .* and in 1 other place"),
        ([], r"from 2024-01-01T00:00:00Z up to 2024-01-10T23:00:00Z"),
    ],
)
def test_a_funding_file_with_a_hole_is_refused_with_the_hole(tmp_path, times, hole):
    path = write(tmp_path, times)
    with pytest.raises(MissingData, match=rf"X_funding.parquet has no settlement {hole}.*every 8 h"):
        read_bars(path)
    with pytest.raises(MissingData, match="no settlement"):
        load_bars(str(path))


def test_a_range_that_the_file_covers_can_be_used(tmp_path):
    path = write(tmp_path, DUE[6:])
    assert load_bars(str(path), since="2024-01-03T08:00Z")["funding_rate"].sum() == pytest.approx(23 * 0.0001)
    with pytest.raises(MissingData, match="no settlement"):
        load_bars(str(path), since="2024-01-02")


def test_an_import_refuses_a_hole_and_stores_nothing(tmp_path):
    path = write(tmp_path, DUE[:10])
    with pytest.raises(MissingData, match="no settlement"):
        import_bars(path, symbol="X/USDT:USDT", timeframe="1h", data_dir=tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_a_column_without_settlements_is_not_marked_as_covered(tmp_path):
    bars = small_frame(BARS).assign(funding_rate=0.0, open_interest=0.0)
    bars.loc[bars["timestamp"].isin(DUE[3:10]), "funding_rate"] = 0.0001
    bars.loc[100:149, "open_interest"] = 5.0
    bars.to_parquet(tmp_path / "X_1h.parquet")
    symbol = "X/USDT:USDT"
    import_bars(tmp_path / "X_1h.parquet", symbol=symbol, timeframe="1h", data_dir=tmp_path)
    funding = series_info(tmp_path, SeriesKey("bybit", symbol, "funding"))
    assert funding.rows == 7
    # Each bar with a rate holds the settlements since the bar before it; what lies between them is not known.
    assert list(funding.covered) == [(int(due) - HOUR + 1, int(due) + 1) for due in DUE[3:10]]
    interest = series_info(tmp_path, SeriesKey("bybit", symbol, "open_interest_1h"))
    assert list(interest.covered) == [(START + 100 * HOUR, START + 150 * HOUR)]


def test_a_rate_of_nothing_in_a_column_is_a_rate(tmp_path):
    bars = small_frame(BARS).assign(funding_rate=0.0)
    bars.loc[bars["timestamp"].isin(np.delete(DUE, [5, 6])), "funding_rate"] = 0.0001
    frame = bars.copy()
    frame.attrs = {"symbol": "X/USDT:USDT", "timeframe": "1h", "source": ""}
    store_bars(frame, data_dir=tmp_path)
    key = SeriesKey("bybit", "X/USDT:USDT", "funding")
    known = np.delete(DUE[DUE < START + BARS * HOUR], [5, 6])
    assert list(series_info(tmp_path, key).covered) == [(int(due) - HOUR + 1, int(due) + 1) for due in known]
    assert len(read_series(tmp_path, key, 0, 1 << 62).columns["timestamp"]) == 27
    # Offline, two zeros in a row are plausible; more of them are missing settlements.
    read = load_bars(
        "bybit:X/USDT:USDT@1h", since=START, until=START + BARS * HOUR, data_dir=tmp_path, offline=True
    )
    assert read["funding_rate"].tolist() == bars["funding_rate"].tolist()


def test_three_settlements_in_a_row_that_an_import_lacks_are_missing(tmp_path):
    bars = small_frame(BARS).assign(funding_rate=0.0)
    bars.loc[bars["timestamp"].isin(np.delete(DUE, [5, 6, 7])), "funding_rate"] = 0.0001
    bars.attrs = {"symbol": "X/USDT:USDT", "timeframe": "1h", "source": ""}
    store_bars(bars, data_dir=tmp_path)
    with pytest.raises(MissingData, match=r"funding of X/USDT:USDT from 2024-01-0.* are not stored"):
        load_bars(
            "bybit:X/USDT:USDT@1h", since=START, until=START + BARS * HOUR, data_dir=tmp_path, offline=True
        )


def test_a_column_of_zeros_is_no_funding_series(tmp_path, caplog):
    frame = small_frame(30).assign(funding_rate=0.0)
    frame.attrs = {"symbol": "X/USDT:USDT", "timeframe": "1h", "source": ""}
    store_bars(frame, data_dir=tmp_path)
    assert "funding_rate has no value and is not stored" in caplog.text
    assert series_info(tmp_path, SeriesKey("bybit", "X/USDT:USDT", "funding")).rows == 0


def test_an_open_interest_file_that_ends_early_is_told(tmp_path, caplog):
    times = START + HOUR * np.arange(100)
    path = write(tmp_path, times, column="open_interest", name="open_interest_1h", value=7.0)
    bars = read_bars(path)
    # The last value is known for a day.
    assert (bars["open_interest"] == 0.0).sum() == BARS - 124
    assert (
        "no open interest on 116 of 240 bars, from 2024-01-06T04:00:00Z to 2024-01-10T23:00:00Z"
        in caplog.text
    )


@given(
    st.lists(st.sampled_from([1, 2, 4, 8]), min_size=1, max_size=4),
    st.integers(10, 20),
    st.data(),
)
@settings(max_examples=80, deadline=None)
def test_changed_intervals_are_no_holes_and_removed_settlements_are(hours, count, data):
    spacing = np.repeat(hours, count) * HOUR
    times = START + np.concatenate(([0], np.cumsum(spacing)))
    first, last = int(times[0]) - 1, int(times[-1])
    assert funding_holes(times, first, last) == []
    at = data.draw(st.integers(1, len(times) - 2))
    if 4 <= at % count <= count - 4:  # inside a span of one interval
        (hole, every), *more = funding_holes(np.delete(times, at), first, last)
        assert (hole, every) == ((int(times[at]), int(times[at + 1])), int(spacing[at]))
        assert not more


def test_stamps_are_moved_only_to_a_full_hour_just_before():
    stamps = np.array([0, 6, 5_000, 5_001, 3_599_999]) + START
    assert (settlement_times(stamps) - START).tolist() == [0, 0, 0, 5_001, 3_599_999]


def two_symbols(column="symbol"):
    frame = pd.concat([small_frame(), small_frame() * 2], ignore_index=True)
    frame["timestamp"] = np.tile(small_frame()["timestamp"], 2)
    frame[column] = ["BTCUSDT"] * 5 + ["ETHUSDT"] * 5
    return frame


@pytest.mark.parametrize("extension", ["parquet", "csv"])
def test_a_file_of_two_symbols_is_told_and_one_can_be_chosen(tmp_path, extension):
    path = tmp_path / f"all_1h.{extension}"
    frame = two_symbols()
    frame.to_csv(path, index=False) if extension == "csv" else frame.to_parquet(path)
    with pytest.raises(
        BadBars, match="found 2 symbols in column 'symbol': BTCUSDT, ETHUSDT; choose one with"
    ):
        read_bars(path)
    with pytest.raises(BadBars, match="none of them 'SOLUSDT'"):
        read_bars(path, symbol="SOLUSDT")
    for name in ("ETHUSDT", "ETH/USDT:USDT"):
        bars = read_bars(path, symbol=name)
        assert bars["close"].tolist() == (small_frame()["close"] * 2).tolist()
        assert bars.attrs["symbol"] == name
    done = import_bars(path, symbol="BTC/USDT:USDT", timeframe="1h", data_dir=tmp_path)
    assert done["rows"] == 5


def test_two_symbols_without_a_column_get_a_hint(tmp_path):
    two_symbols("note").to_parquet(tmp_path / "all_1h.parquet")
    with pytest.raises(BadBars, match=r"found an earlier one.*in a column 'symbol' to choose by"):
        read_bars(tmp_path / "all_1h.parquet")
