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
