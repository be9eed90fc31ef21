"""Bars of a market with sessions in the store: under its calendar, which every reader then knows."""

import pandas as pd
import pytest

from feeds import BadSource, MissingData, load_bars
from feeds.store.importing import store_bars
from runs.data import list_store
from tests.stocks import never_closed, on_sessions, utc


def test_stored_bars_know_their_calendar(tmp_path):
    bars = on_sessions(never_closed(40, timeframe="1d"), "2024-06-03").drop(index=[19]).reset_index(drop=True)
    bars.attrs = {"symbol": "SPY", "timeframe": "1d", "source": "", "calendar": "XNYS"}
    store_bars(bars, data_dir=tmp_path)
    found = load_bars("XNYS:SPY@1d", data_dir=tmp_path, gaps="keep")
    pd.testing.assert_frame_equal(found, bars, check_exact=True)
    assert found.attrs["calendar"] == "XNYS"
    (row,) = list_store(tmp_path)
    assert (row["exchange"], row["symbol"], row["rows"], row["missing"]) == ("xnys", "SPY", 39, 1)
    later = load_bars("XNYS:SPY@1d", data_dir=tmp_path, since="2024-07-04", warmup_bars=2, gaps="keep")
    # 2024-07-01 is missing: the two bars before the holiday are 07-02 and 07-03.
    assert later["timestamp"].iloc[:3].tolist() == [utc(f"2024-07-0{day}") for day in (2, 3, 5)]


def test_a_damaged_file_is_an_error_and_no_shorter_history(tmp_path):
    bars = on_sessions(never_closed(300, timeframe="1d"), "2023-06-01")
    bars.attrs = {"symbol": "SPY", "timeframe": "1d", "source": "", "calendar": "XNYS"}
    store_bars(bars, data_dir=tmp_path)
    [victim] = tmp_path.rglob("2023.parquet")
    victim.write_bytes(victim.read_bytes()[:-9])
    for name in ("2023.parquet.corrupt", "2023.parquet.corrupt"):
        with pytest.raises(MissingData, match=f"{name} is damaged; import them again: scorenet data import"):
            load_bars("XNYS:SPY@1d", data_dir=tmp_path)
    store_bars(bars, data_dir=tmp_path)
    assert len(load_bars("XNYS:SPY@1d", data_dir=tmp_path)) == len(bars)


@pytest.mark.parametrize(
    ("source", "calendar", "error", "words"),
    [
        (
            "XNYS:QQQ@1d",
            None,
            MissingData,
            "scorenet data import FILE --symbol QQQ --timeframe 1d --calendar XNYS",
        ),
        ("XNYS:SPY@1d", "XLON", BadSource, "found XLON, but the source is of XNYS"),
        ("simulated:random_walk?bars=50", "XNYS", BadSource, "found XNYS, but this market never closes"),
        ("xnys:SPY@1d", None, BadSource, "unknown source 'xnys'"),
    ],
)
def test_a_source_and_a_calendar_that_do_not_fit_are_refused(tmp_path, source, calendar, error, words):
    with pytest.raises(error, match=words):
        load_bars(source, data_dir=tmp_path, calendar=calendar)


def test_a_calendar_of_no_exchange_has_no_place_in_the_store(tmp_path):
    bars = on_sessions(never_closed(5, timeframe="1d"), "2024-06-03")
    bars.attrs["calendar"] = "24/5"
    with pytest.raises(BadSource, match="--bars FILE --calendar 24/5"):
        store_bars(bars, data_dir=tmp_path)
