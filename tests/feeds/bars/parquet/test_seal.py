"""A bar file that has changed since it was written gives its own bars or none."""

import pandas as pd
import pyarrow.parquet as pq
import pytest

from feeds import read_bars, simulate, write_bars
from feeds.errors import FeedError, StoreError


def test_no_flipped_bit_of_a_footer_changes_bars_or_ends_the_process(tmp_path):
    """pyarrow aborts when it is asked for the columns of some footers; a changed column name would lose a column."""
    path, bars = tmp_path / "bars_1h.parquet", simulate("planted", seed=1, bars=40)
    write_bars(bars, path)
    whole = path.read_bytes()
    begin, read, refused = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little"), 0, 0
    schema = [(place, 1 << bit) for place in range(begin, begin + 100) for bit in range(8)]
    for place, bits in [*schema, *((place, 4) for place in range(begin + 100, len(whole), 7))]:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ bits]) + whole[place + 1 :])
        try:
            found = read_bars(path)
        except FeedError:
            refused += 1
        else:
            read += 1
            pd.testing.assert_frame_equal(found, bars)
    assert refused > 1000
    assert read > 0


def test_a_file_that_another_program_has_changed_is_read(tmp_path):
    path, bars = tmp_path / "bars_1h.parquet", simulate("planted", seed=1, bars=40)
    write_bars(bars, path)
    pd.read_parquet(path).drop(columns="funding_rate").to_parquet(path)
    assert "funding_rate" not in read_bars(path)
    write_bars(bars, path)
    pq.write_table(pq.read_table(path).drop_columns(["funding_rate"]).replace_schema_metadata(), path)
    assert "funding_rate" not in read_bars(path, "planted-1", "1h")


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table.drop_columns(["funding_rate"]),
        lambda table: table.replace_schema_metadata(
            {**table.schema.metadata, b"PANDAS_ATTRS": b'{"symbol": "ETH", "timeframe": "1h"}'}
        ),
        lambda table: table.replace_schema_metadata({**table.schema.metadata, b"more": b""}),
        lambda table: table.set_column(0, "timestamp", table["timestamp"].cast("timestamp[ms]")),
    ],
    ids=["a column", "notes", "another note", "a type"],
)
def test_a_seal_covers_columns_types_and_notes(tmp_path, change):
    path = tmp_path / "bars_1h.parquet"
    write_bars(simulate("planted", seed=1, bars=40), path)
    pq.write_table(change(pq.read_table(path)), path)
    with pytest.raises(StoreError, match=r"its columns timestamp, .* have changed since it was written"):
        read_bars(path)
