"""Imported bars are read back unchanged, missing bars are reported, invalid bars are never stored."""

import numpy as np
import pandas as pd
import pytest

from feeds import BadBars, BadTimeframe, BarGap, MissingData, load_bars, read_bars, simulate, write_bars
from feeds.bars.frame import data_hash
from feeds.store.series_store import SeriesKey, read_series
from runs.data import check_source, export_bars, import_bars, list_store
from runs.tables import format_check

HOUR = 3_600_000
BTC = "BTC/USDT:USDT"
STORED = f"bybit:{BTC}@1h"


@pytest.fixture
def work(tmp_path):
    return tmp_path


@pytest.fixture
def frame():
    return simulate("regimes", seed=3, bars=100, symbol=BTC)


def part(frame, first, end):
    cut = frame.iloc[first:end].reset_index(drop=True)
    cut.attrs = dict(frame.attrs)
    return cut


def put(frame, work, gaps="raise", name="bars.parquet"):
    write_bars(frame, work / name)
    return import_bars(work / name, symbol=BTC, timeframe="1h", data_dir=work / "data", gaps=gaps)


def stored(work, source=STORED, **options):
    return load_bars(source, data_dir=work / "data", offline=True, **options)


@pytest.mark.parametrize("name", ["bars.parquet", "bars.csv"])
def test_what_is_imported_is_read_back_bit_for_bit(frame, work, name):
    done = put(frame, work, name=name)
    assert done == {
        "symbol": BTC,
        "timeframe": "1h",
        "rows": 100,
        "start": "2020-01-01T00:00:00Z",
        "end": "2020-01-05T03:00:00Z",
        "replaced": 0,
        "read_as": "the columns and times of the contract",
        "source": STORED,
        "sha256": data_hash(frame),
    }
    pd.testing.assert_frame_equal(stored(work), frame)


def test_importing_twice_changes_nothing(frame, work):
    put(frame, work)
    put(frame, work)
    pd.testing.assert_frame_equal(stored(work), frame)


def test_later_bars_join_earlier_ones_without_a_lost_settlement(frame, work):
    """The second file starts with the bar after a settlement, which belongs to the first file."""
    settled = int(np.flatnonzero(frame["funding_rate"])[5])
    put(part(frame, 0, settled + 1), work)
    put(part(frame, settled + 1, 100), work)
    pd.testing.assert_frame_equal(stored(work), frame)


@pytest.mark.parametrize("cut", [30, 41, 56])
def test_files_may_overlap_and_come_in_any_order(frame, work, cut):
    put(part(frame, cut, 100), work)
    put(part(frame, 0, cut + 5), work)
    pd.testing.assert_frame_equal(stored(work), frame)


def test_the_store_lists_its_series(frame, work):
    assert list_store(work / "data") == []
    put(frame, work)
    rows = list_store(work / "data")
    assert [(row["exchange"], row["symbol"], row["kind"]) for row in rows] == [
        ("bybit", BTC, "1h"),
        ("bybit", BTC, "funding"),
        ("bybit", BTC, "open_interest_1h"),
    ]
    assert [row["rows"] for row in rows] == [100, 13, 100]
    assert (rows[0]["start"], rows[0]["end"]) == ("2020-01-01T00:00:00Z", "2020-01-05T03:00:00Z")


def test_bars_without_funding_make_no_funding_series(frame, work):
    bare = frame.drop(columns=["funding_rate", "open_interest"])
    bare.attrs = dict(frame.attrs)
    put(bare, work)
    assert [row["kind"] for row in list_store(work / "data")] == ["1h"]
    assert list(stored(work).columns) == ["timestamp", "open", "high", "low", "close", "volume"]


def test_an_imported_hole_is_a_hole_that_a_fetch_would_ask_for(frame, work):
    holed = frame.drop(index=[40, 41]).reset_index(drop=True)
    holed.attrs = dict(frame.attrs)
    with pytest.raises(BarGap, match="2 bar"):
        put(holed, work)
    assert list_store(work / "data") == []
    put(holed, work, gaps="keep")
    key = SeriesKey("bybit", BTC, "1h")
    start = int(frame["timestamp"].iloc[0])
    covered = read_series(work / "data", key, start, start + 100 * HOUR).covered
    assert covered == [(start, start + 40 * HOUR), (start + 42 * HOUR, start + 100 * HOUR)]
    with pytest.raises(MissingData, match="are not stored"):
        stored(work)


def test_invented_bars_are_never_stored(frame, work):
    holed = frame.drop(index=[40, 41]).reset_index(drop=True)
    holed.attrs = dict(frame.attrs)
    assert put(holed, work, gaps="ffill")["rows"] == 100
    assert list_store(work / "data")[0]["rows"] == 98


def test_bars_that_break_the_contract_do_not_reach_the_store(frame, work):
    frame.loc[7, "close"] = np.nan
    frame.to_csv(work / "bad.csv", index=False)
    with pytest.raises(BadBars, match=r"bad\.csv: row 7 .*column 'close': expected a number"):
        import_bars(work / "bad.csv", symbol=BTC, timeframe="1h", data_dir=work / "data")
    assert not (work / "data").exists()


def test_a_wrong_timeframe_is_refused(frame, work):
    write_bars(frame, work / "bars.parquet")
    with pytest.raises(BadTimeframe, match="7x"):
        import_bars(work / "bars.parquet", symbol=BTC, timeframe="7x", data_dir=work / "data")
    with pytest.raises(BadBars, match="not on the 4h grid"):
        import_bars(work / "bars.parquet", symbol=BTC, timeframe="4h", data_dir=work / "data")


def test_a_check_reports_rows_holes_and_empty_bars(frame, work):
    holed = frame.drop(index=[10, 11, 50]).reset_index(drop=True)
    holed.loc[[3, 4], "volume"] = 0.0
    holed.attrs = dict(frame.attrs)
    write_bars(holed, work / "bars.parquet")
    found = check_source(str(work / "bars.parquet"), data_dir=work, offline=True)
    assert (found["rows"], found["missing_bars"], found["zero_volume_bars"]) == (97, 3, 2)
    assert found["gaps"] == [
        {"start": "2020-01-01T10:00:00Z", "end": "2020-01-01T12:00:00Z", "missing": 2},
        {"start": "2020-01-03T02:00:00Z", "end": "2020-01-03T03:00:00Z", "missing": 1},
    ]
    assert found["sha256"] == data_hash(holed)
    assert (found["symbol"], found["timeframe"]) == (BTC, "1h")


@pytest.mark.parametrize("name", ["out.parquet", "deep/er/out.csv"])
def test_what_is_exported_is_what_the_source_holds(frame, work, name):
    put(frame, work)
    done = export_bars(STORED, work / name, data_dir=work / "data", offline=True)
    assert done == {"path": str(work / name), "rows": 100, "sha256": data_hash(frame)}
    again = read_bars(work / name, symbol=BTC)
    pd.testing.assert_frame_equal(again, frame)


def test_holes_are_a_short_table_with_totals(tmp_path):
    frame = simulate("planted", seed=1, bars=2_000)
    holed = frame[frame.index % 10 != 3].reset_index(drop=True)
    holed.attrs = dict(frame.attrs)
    write_bars(holed, tmp_path / "x_1h.parquet")
    found = check_source(str(tmp_path / "x_1h.parquet"), data_dir=tmp_path, offline=True)
    assert (found["missing_bars"], found["holes"], found["largest_hole"]) == (200, 200, 1)
    assert len(found["gaps"]) == 200
    text = format_check(found)
    assert len(text) < 2_000
    assert "... and 190 more; --json has all" in text
    assert max(map(len, text.splitlines())) < 120
