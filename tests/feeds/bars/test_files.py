import json
import logging
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feeds.bars import caps
from feeds.bars.caps import MAX_ROWS_VARIABLE
from feeds.bars.files import read_bars, write_bars
from feeds.bars.frame import as_bars, data_hash
from feeds.errors import BadBars, BadSource, BadTimeframe, BarGap, FeedError, MissingData, StoreError
from feeds.store.keys import SeriesKey, series_columns
from feeds.store.series_store import write_series
from tests.feeds.bars.frames import HOUR, START, small_frame, valid_frames

EXTENSIONS = ["parquet", "csv"]


@given(valid_frames(), st.sampled_from(EXTENSIONS), st.data())
@settings(max_examples=40, deadline=None)
def test_round_trip_keeps_every_bit(frame, extension, data):
    rate = st.lists(st.floats(-1, 1), min_size=len(frame), max_size=len(frame))
    frame["funding_rate"] = data.draw(rate)
    frame["filled"] = data.draw(st.lists(st.booleans(), min_size=len(frame), max_size=len(frame)))
    bars = as_bars(frame, symbol="BTCUSDT", timeframe="1h")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"BTCUSDT_1h.{extension}"
        write_bars(bars, path)
        again = read_bars(path)
        assert [file.name for file in Path(folder).iterdir()] == [path.name]
    pd.testing.assert_frame_equal(again, bars, check_exact=True)
    assert data_hash(again) == data_hash(bars)
    assert again.attrs == {"symbol": "BTCUSDT", "timeframe": "1h", "source": str(path)}


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_symbol_and_timeframe_come_from_arguments_notes_name_spacing(tmp_path, extension):
    plain = small_frame()
    path = tmp_path / f"ETHUSDT_1h.{extension}"
    plain.to_csv(path, index=False) if extension == "csv" else plain.to_parquet(path)
    assert read_bars(path).attrs["symbol"] == "ETHUSDT"
    assert read_bars(path, symbol="ETH/USDT:USDT").attrs["symbol"] == "ETH/USDT:USDT"
    other = path.rename(tmp_path / f"mine.{extension}")
    assert {**read_bars(other).attrs, "source": ""} == {"symbol": "mine", "timeframe": "1h", "source": ""}


def test_a_parquet_file_remembers_its_symbol(tmp_path):
    write_bars(as_bars(small_frame(), symbol="SOL/USDT:USDT"), tmp_path / "x.parquet")
    assert read_bars(tmp_path / "x.parquet").attrs["symbol"] == "SOL/USDT:USDT"


def test_a_name_that_lies_about_the_timeframe(tmp_path):
    small_frame().to_parquet(tmp_path / "BTCUSDT_4h.parquet")
    with pytest.raises(BadBars, match=r"BTCUSDT_4h.parquet: row 1 .*not on the 4h grid"):
        read_bars(tmp_path / "BTCUSDT_4h.parquet")


def test_a_file_with_a_datetime_index(tmp_path):
    frame = small_frame().drop(columns="timestamp")
    frame.index = pd.date_range("2024-01-01", periods=5, freq="h", tz="UTC")
    frame.to_parquet(tmp_path / "a.parquet")
    assert read_bars(tmp_path / "a.parquet")["timestamp"].tolist() == [START + k * HOUR for k in range(5)]


def test_siblings_are_joined_where_the_file_has_no_such_column(tmp_path):
    path = tmp_path / "BTCUSDT_1h.parquet"
    small_frame().to_parquet(path)
    pd.DataFrame({"timestamp": [START + HOUR], "funding_rate": [0.5]}).to_parquet(
        tmp_path / "BTCUSDT_funding.parquet"
    )
    pd.DataFrame({"timestamp": [START], "open_interest": [9.0]}).to_parquet(
        tmp_path / "BTCUSDT_open_interest_1h.parquet"
    )
    assert read_bars(path)["funding_rate"].tolist() == [0.0, 0.5, 0.0, 0.0, 0.0]
    assert read_bars(path)["open_interest"].tolist() == [9.0] * 5
    small_frame().assign(funding_rate=0.25, open_interest=1.0).to_parquet(path)
    assert read_bars(path)["funding_rate"].tolist() == [0.25] * 5
    assert read_bars(path)["open_interest"].tolist() == [1.0] * 5


@pytest.mark.parametrize(
    ("name", "column"), [("funding", "funding_rate"), ("open_interest_1h", "open_interest")]
)
def test_a_bad_sibling_is_named(tmp_path, name, column):
    small_frame().to_parquet(tmp_path / "X_1h.parquet")
    pd.DataFrame({"timestamp": [START], column: [np.nan]}).to_parquet(tmp_path / f"X_{name}.parquet")
    with pytest.raises(BadBars, match=rf"X_{name}.parquet: {column} row 0"):
        read_bars(tmp_path / "X_1h.parquet")
    (tmp_path / f"X_{name}.parquet").write_bytes(b"PAR1junk")
    with pytest.raises(StoreError, match=rf"X_{name}.parquet: it is damaged"):
        read_bars(tmp_path / "X_1h.parquet")


def test_gap_policy_of_a_file(tmp_path):
    small_frame(6).drop(index=2).to_parquet(tmp_path / "X_1h.parquet")
    with pytest.raises(BarGap, match=r"X_1h.parquet: 1 bar") as caught:
        read_bars(tmp_path / "X_1h.parquet")
    assert caught.value.timestamp == START + 2 * HOUR
    assert len(read_bars(tmp_path / "X_1h.parquet", gaps="keep")) == 5
    assert read_bars(tmp_path / "X_1h.parquet", gaps="ffill")["filled"].sum() == 1


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_files_that_cannot_be_read(tmp_path, extension):
    path = tmp_path / f"X_1h.{extension}"
    with pytest.raises(MissingData, match=f"there is no file .*X_1h.{extension}$"):
        read_bars(path)
    path.write_bytes(b"")
    with pytest.raises(StoreError, match="is empty"):
        read_bars(path)
    path.write_bytes(b"\x00\xff\xfe\x80" * 50)
    with pytest.raises(FeedError, match=rf"X_1h.{extension}"):
        read_bars(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(BadSource, match="found the folder"):
        read_bars(path)


def test_missing_files_list_their_neighbours(tmp_path):
    small_frame().to_parquet(tmp_path / "BTCUSDT_1h.parquet")
    (tmp_path / "BTCUSDT_funding.parquet").touch()
    with pytest.raises(MissingData, match=r"there is BTCUSDT_1h.parquet$"):
        read_bars(tmp_path / "BTC_1h.parquet")
    with pytest.raises(MissingData, match="there is no folder"):
        read_bars(tmp_path / "nowhere" / "BTC_1h.parquet")


def test_wrong_extension(tmp_path):
    for act in (lambda path: read_bars(path), lambda path: write_bars(small_frame(), path)):
        with pytest.raises(BadSource, match=r"ending in .parquet or .csv, found '.*bars.xlsx'"):
            act(tmp_path / "bars.xlsx")


def test_csv_errors_name_the_cell(tmp_path):
    path = tmp_path / "X_1h.csv"
    write_bars(small_frame(), path)
    lines = path.read_text().splitlines()
    for cell, says in (("abc", "expected a number, found 'abc'"), ("", "expected a number, found nan")):
        cells = lines[3].split(",")
        cells[2] = cell
        path.write_text("\n".join([*lines[:3], ",".join(cells), *lines[4:]]))
        with pytest.raises(
            BadBars, match=rf"X_1h.csv: row 2 \(2024-01-01T02:00:00Z\), column 'high': {says}"
        ):
            read_bars(path)
    path.write_text("\n".join(lines).replace("close", "closs"))
    with pytest.raises(BadBars, match=r"expected a column for close, found .*did you mean 'closs'"):
        read_bars(path)
    path.write_text(lines[0] + "\n")
    with pytest.raises(BadBars, match="at least one bar"):
        read_bars(path)
    path.write_text("\n".join([*lines, "1,2,3,4,5,6,7,8,9"]))
    with pytest.raises(StoreError, match="it is damaged"):
        read_bars(path)


def test_csv_with_iso_times(tmp_path):
    path = tmp_path / "X.csv"
    frame = small_frame()
    frame["timestamp"] = pd.to_datetime(frame["timestamp"], unit="ms", utc=True)
    frame.to_csv(path, index=False)
    assert read_bars(path)["timestamp"].tolist() == small_frame()["timestamp"].tolist()
    frame["timestamp"] = frame["timestamp"].dt.tz_localize(None)
    frame.to_csv(path, index=False)
    with pytest.raises(BadBars, match="has no time zone"):
        read_bars(path)


@pytest.fixture(scope="module")
def intact(tmp_path_factory):
    path = tmp_path_factory.mktemp("intact") / "X_1h.parquet"
    write_bars(as_bars(small_frame(40), symbol="X"), path)
    return path.read_bytes()


@given(st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_parquet_file_never_gives_other_bars(intact, data):
    content = bytearray(intact)
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    else:
        for _ in range(data.draw(st.integers(1, 4))):
            content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "X_1h.parquet"
        path.write_bytes(bytes(content))
        try:
            bars = read_bars(path)
        except FeedError as error:
            assert str(path) in str(error)  # noqa: PT017 - both outcomes are right
        else:
            pd.testing.assert_frame_equal(bars, small_frame(40))


def test_writing_checks_first_and_leaves_nothing_behind(tmp_path):
    path = tmp_path / "deep" / "X_1h.parquet"
    write_bars(small_frame(), path)
    before = path.read_bytes()
    with pytest.raises(BadBars):
        write_bars(small_frame().assign(volume=-1.0), path)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["X_1h.parquet"]


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot write"):
        write_bars(small_frame(), tmp_path / "file" / "X_1h.parquet")


def test_a_failed_replacement_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "X_1h.csv"
    write_bars(small_frame(), path)
    before = path.read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="No space left on device"):
        write_bars(small_frame(9), path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["X_1h.csv"]


@pytest.mark.skipif(
    not Path("/proc/self/task").is_dir(), reason="threads are counted in /proc, which Linux has"
)
def test_reading_starts_no_thread_that_a_fork_would_lose(tmp_path):
    write_bars(frame := small_frame(), path := tmp_path / "bars.parquet")
    with write_series(tmp_path, key := SeriesKey("bybit", "BTC/USDT:USDT", "1h")) as writer:
        columns = {name: frame[name].to_numpy() for name in series_columns("1h")}
        writer.write(columns, (int(columns["timestamp"][0]), int(columns["timestamp"][-1]) + HOUR))
    program = f"""
import os
from pathlib import Path
from feeds.bars import caps
from feeds.bars.caps import MAX_ROWS_VARIABLE
from feeds.bars.files import read_bars
from feeds.store.keys import SeriesKey
from feeds.store.series_store import read_series
before = len(os.listdir("/proc/self/task"))
read_bars(Path({str(path)!r}))
read_series(Path({str(tmp_path)!r}), SeriesKey("bybit", {key.symbol!r}, "1h"), 0, 1 << 62)
print(len(os.listdir("/proc/self/task")) - before)
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    told = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
        check=True,
    )
    assert told.stdout == "0\n"


def test_a_parquet_bomb_is_refused_by_its_footer(tmp_path, monkeypatch):
    path = tmp_path / "bomb_1h.parquet"
    rows = 200_000
    column = pa.array(np.zeros(rows))
    pq.write_table(pa.table({"timestamp": column, "close": column}), path)
    assert path.stat().st_size < 10_000
    monkeypatch.setenv(MAX_ROWS_VARIABLE, "100000")
    with pytest.raises(
        StoreError, match="at most 100,000 rows, found 200,000; set SCORENET_MAX_ROWS to read more"
    ):
        read_bars(path)
    monkeypatch.setenv(MAX_ROWS_VARIABLE, "200000")
    with pytest.raises(BadBars):
        read_bars(path)


def test_values_that_unpack_to_far_more_than_bars_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(caps, "_FEW_CELLS", 1_000)
    path = tmp_path / "text_1h.parquet"
    pq.write_table(pa.table({"close": pa.array(["0" * 100_000])}), path, use_dictionary=False)
    assert path.stat().st_size < 20_000
    with pytest.raises(StoreError, match=r"1 rows unpack to [0-9,]+ bytes, which bars never do"):
        read_bars(path)


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_a_file_of_very_many_columns_is_refused_in_one_line(tmp_path, extension):
    path = tmp_path / f"wide_1h.{extension}"
    if extension == "csv":
        path.write_text(",".join(["a"] * 20_000) + "\n" + ",".join(["1"] * 20_000) + "\n")
    else:
        pq.write_table(pa.table({f"c{i}": pa.array([1.0]) for i in range(500)}), path)
    with pytest.raises(StoreError, match=r"at most 200 columns, found (20,000|500)") as caught:
        read_bars(path)
    assert len(str(caught.value)) < 250


def test_a_first_line_without_end_is_not_read_whole(tmp_path):
    path = tmp_path / "line_1h.csv"
    path.write_text("a" * 200_000)
    with pytest.raises(StoreError, match="first line has more than 65,536 bytes"):
        read_bars(path)


def test_rows_of_a_csv_file_are_capped_too(tmp_path, monkeypatch):
    path = tmp_path / "BTCUSDT_1h.csv"
    write_bars(as_bars(small_frame()), path)
    rows = len(small_frame())
    monkeypatch.setenv(MAX_ROWS_VARIABLE, str(rows))
    assert len(read_bars(path)) == rows
    monkeypatch.setenv(MAX_ROWS_VARIABLE, str(rows - 1))
    with pytest.raises(StoreError, match=f"at most {rows - 1} rows"):
        read_bars(path)
    monkeypatch.setenv(MAX_ROWS_VARIABLE, "many")
    with pytest.raises(StoreError, match="SCORENET_MAX_ROWS: expected a number of rows, found 'many'"):
        read_bars(path)


def test_notes_nested_without_end_are_a_damaged_file(tmp_path):
    path = tmp_path / "x_1h.parquet"
    table = pa.Table.from_pandas(small_frame()).replace_schema_metadata({"PANDAS_ATTRS": "[" * 200_000})
    pq.write_table(table, path)
    with pytest.raises(StoreError, match="damaged or not a bar file"):
        read_bars(path)


@pytest.mark.parametrize("notes", [{"timeframe": ["1h"], "symbol": 1, "calendar": {}}, {"timeframe": 5}])
def test_notes_of_another_kind_than_text_are_none(tmp_path, notes):
    frame = small_frame()
    table = pa.Table.from_pandas(frame, preserve_index=False)
    pq.write_table(
        table.replace_schema_metadata({"PANDAS_ATTRS": json.dumps(notes)}), tmp_path / "x_1h.parquet"
    )
    assert read_bars(tmp_path / "x_1h.parquet").attrs["timeframe"] == "1h"
    frame.attrs["timeframe"] = ["1h"]
    with pytest.raises(BadTimeframe, match="a timeframe is a text"):
        as_bars(frame)


@pytest.mark.parametrize(("rate", "said"), [(0.01, True), (-0.0123, True), (0.0001, False), (0.0015, False)])
@pytest.mark.parametrize("beside", [False, True])
def test_funding_rates_in_percent_are_said(tmp_path, caplog, rate, said, beside):
    bars, due = small_frame(60), START + 8 * HOUR * np.arange(8)
    if beside:
        funding = pd.DataFrame({"timestamp": due, "funding_rate": rate})
        funding.to_parquet(tmp_path / "x_funding.parquet")
    else:
        bars["funding_rate"] = np.where(bars["timestamp"].isin(due), rate, 0.0)
    bars.to_parquet(tmp_path / "x_1h.parquet")
    with caplog.at_level(logging.WARNING):
        read_bars(tmp_path / "x_1h.parquet")
    assert ("a rate is a fraction (0.01 % is 0.0001): are these percent?" in caplog.text) == said
    assert ("x_funding.parquet: half" in caplog.text) == (said and beside)
