"""The size of a parquet file in memory is known before it is read."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feeds import read_bars, simulate
from feeds.bars.caps import MAX_ROWS_VARIABLE, TooLarge
from feeds.bars.parquet import check_parquet
from feeds.errors import StoreError
from feeds.store.chunks import CorruptChunk, decode
from runs.folder.rundir import CorruptRun, RunDir
from tests.feeds.bars.parquet.lies import numbers_in_footer, with_number, with_page_size, write_plain

ROWS = 20_000


def repeated(text):
    """Return a column in which one text stands in each row, once in the file."""
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(ROWS, np.int32)), pa.array([text]))


def write(path, **columns):
    pq.write_table(pa.table(columns), path, store_schema=False, compression="zstd")
    assert path.stat().st_size < 2_000_000
    return path


def test_a_long_text_in_every_row_is_refused_before_it_is_unpacked(tmp_path):
    bars = simulate("planted", seed=1, bars=ROWS)
    columns = {name: pa.array(bars[name].to_numpy()) for name in bars.columns}
    path = write(tmp_path / "bars_1h.parquet", **columns, note=repeated("x" * 20_000))
    with pytest.raises(StoreError, match=r"20,000 rows unpack to 400,000,000 bytes, which bars never do"):
        read_bars(path)
    short = write(tmp_path / "short_1h.parquet", **columns, symbol=repeated("BTC/USDT:USDT"))
    assert len(read_bars(short)) == ROWS


def test_a_table_of_a_run_is_checked_as_well(tmp_path):
    write(tmp_path / "equity.parquet", note=repeated("x" * 20_000))
    with pytest.raises(CorruptRun, match="which bars never do"):
        RunDir(tmp_path).read_frame("equity")


@pytest.mark.parametrize("column", [repeated("x" * 20_000), pa.array([[1.0]] * ROWS)])
def test_a_file_of_the_store_has_numbers_only(tmp_path, column):
    path = write(tmp_path / "2024.parquet", close=column)
    with pytest.raises(CorruptChunk, match="columns that are no numbers"):
        decode(path.read_bytes(), {}, ["close"])


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array([[1.0]] * ROWS), "holds list"),
        (pa.array([{"a": 1.0}] * ROWS), "holds struct"),
        (pa.array([b"x" * 100] * ROWS, pa.binary(100)), "100 bytes a row"),
    ],
)
def test_columns_that_bars_never_have_are_refused(tmp_path, column, message):
    with pytest.raises(TooLarge, match=message):
        check_parquet(write(tmp_path / "x.parquet", close=column))


@pytest.mark.parametrize(
    "column",
    [
        pa.array([b"x"] * ROWS),
        pa.array(["x"] * ROWS, pa.large_string()),
        pa.array([None] * ROWS, pa.string()),
        pa.array(["a", "b"] * (ROWS // 2)).dictionary_encode(),
        pa.nulls(ROWS),
        pa.array([1] * ROWS).cast(pa.decimal128(30, 2)),
    ],
)
def test_other_columns_of_other_programs_are_not(tmp_path, column):
    check_parquet(write(tmp_path / "x.parquet", **{"1. note.": column}))
    check_parquet(write(tmp_path / "y.parquet", **{"1. note.": column[:0]}))


def test_rows_and_columns_are_counted_together(tmp_path, monkeypatch):
    zeros = pa.array(np.zeros(ROWS))
    path = write(tmp_path / "x.parquet", **{f"c{k}": zeros for k in range(21)})
    check_parquet(path)
    monkeypatch.setenv(MAX_ROWS_VARIABLE, str(ROWS))
    with pytest.raises(TooLarge, match=r"at most 400,000 cells, found 20,000 rows of 21 columns"):
        check_parquet(path)


@pytest.mark.parametrize("compression", ["none", "snappy", "zstd", "gzip"])
@pytest.mark.parametrize("stated", [2**31 - 1, 300_000_000])
def test_a_page_that_states_gigabytes_takes_no_memory(tmp_path, compression, stated):
    path, bars = tmp_path / "bars_1h.parquet", simulate("planted", seed=1, bars=5000)
    write_plain(path, bars, compression)
    assert len(read_bars(path)) == 5000
    with_page_size(path, stated)
    with pytest.raises(StoreError, match=r"5,000 rows unpack to [\d,]+ bytes, which bars never do"):
        read_bars(path)
    with pytest.raises(TooLarge):
        check_parquet(path)


def test_a_page_of_the_store_that_states_gigabytes_is_corrupt(tmp_path):
    path, bars = tmp_path / "2024.parquet", simulate("planted", seed=1, bars=5000)
    write_plain(path, bars)
    with_page_size(path, 2**31 - 1)
    with pytest.raises(CorruptChunk, match="unpack to"):
        decode(path.read_bytes(), {}, list(bars.columns))


@pytest.mark.parametrize("now", [10, 5001, 2**31 - 1, 2**40, -1])
def test_a_footer_whose_numbers_of_rows_and_values_differ_is_refused(tmp_path, now):
    """Every place that says 5,000 is changed, one at a time: all rows come, or none."""
    path, bars = tmp_path / "bars_1h.parquet", simulate("planted", seed=1, bars=5000)
    write_plain(path, bars)
    whole, taken, refused = path.read_bytes(), pa.default_memory_pool().max_memory(), 0
    for place in range(numbers_in_footer(whole, 5000)):
        path.write_bytes(with_number(whole, 5000, now, place))
        try:
            assert read_bars(path)["close"].tolist() == bars["close"].tolist()
        except StoreError:
            refused += 1
    assert refused >= 2 + len(bars.columns)  # the file, its row group, and each column of it
    assert pa.default_memory_pool().max_memory() <= max(taken, 64 << 20)


def test_a_footer_that_states_fewer_rows_everywhere_is_refused(tmp_path):
    path, bars = tmp_path / "bars_1h.parquet", simulate("planted", seed=1, bars=5000)
    write_plain(path, bars)
    content = path.read_bytes()
    for _ in range(numbers_in_footer(content, 5000)):
        content = with_number(content, 5000, 4999, 0)
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"its pages have 5,000 values of 4,999 rows"):
        read_bars(path)


def test_a_footer_of_many_megabytes_is_refused(tmp_path):
    path = tmp_path / "bars_1h.parquet"
    table = pa.table({"timestamp": [1, 2], "open": [1.0, 2.0]}).replace_schema_metadata(
        {"x": "y" * 9_000_000}
    )
    pq.write_table(table, path)
    with pytest.raises(StoreError, match=r"footer has [\d,]+ bytes, which a bar file's never has"):
        read_bars(path)


@pytest.mark.parametrize("word", ["pandas_type", "numpy_type", "index_columns", "columns"])
def test_damaged_notes_of_pandas_make_a_table_of_a_run_corrupt(tmp_path, word):
    path = tmp_path / "equity.parquet"
    simulate("planted", seed=1, bars=40).to_parquet(path)
    content = path.read_bytes()
    assert content.count(word.encode()) > 0
    path.write_bytes(content.replace(word.encode(), b"x" + word[1:].encode()))
    with pytest.raises(CorruptRun, match="cannot read"):
        RunDir(tmp_path).read_frame("equity")
