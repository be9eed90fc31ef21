"""What a page replaces, what is refused as a whole, and what a description says of it."""

import numpy as np
import pytest

from feeds.errors import StoreError
from feeds.store.keys import series_path
from feeds.store.series_store import read_series, series_info, write_series
from tests.feeds.store.rows import ALL, DAY, ETH, HOUR, KEY, YEAR_2023, YEAR_2024, bars, files, put, stamps


def test_where_pages_overlap_the_later_one_wins(tmp_path):
    one, other = bars(YEAR_2024 - 5 * HOUR, 10, level=100.0), bars(YEAR_2024 - 2 * HOUR, 4, level=500.0)
    with write_series(tmp_path, KEY) as writer:
        writer.write_pages(
            [
                (one, (YEAR_2024 - 5 * HOUR, YEAR_2024 + 5 * HOUR)),
                (other, (YEAR_2024 - 2 * HOUR, YEAR_2024 + 2 * HOUR)),
            ]
        )
    closes = read_series(tmp_path, KEY, *ALL).columns["close"].tolist()
    assert closes == [100.0, 101.0, 102.0, 500.0, 501.0, 502.0, 503.0, 107.0, 108.0, 109.0]


def test_a_page_replaces_also_the_rows_that_it_no_longer_has(tmp_path):
    put(tmp_path, YEAR_2024, 6)
    with write_series(tmp_path, KEY) as writer:
        writer.write(bars(YEAR_2024 + 3 * HOUR, 1, level=7.0), (YEAR_2024 + 2 * HOUR, YEAR_2024 + 5 * HOUR))
    chunk = read_series(tmp_path, KEY, *ALL)
    assert chunk.columns["timestamp"].tolist() == [YEAR_2024 + k * HOUR for k in (0, 1, 3, 5)]
    assert chunk.columns["close"].tolist() == [100.0, 101.0, 7.0, 105.0]
    assert chunk.covered == [(YEAR_2024, YEAR_2024 + 6 * HOUR)]


def test_one_wrong_page_keeps_all_pages_out(tmp_path):
    right, wrong = bars(YEAR_2024, 3), bars(YEAR_2024 + 3 * HOUR, 3)
    wrong["close"] = np.array([1.0, np.inf, 1.0])
    with write_series(tmp_path, KEY) as writer, pytest.raises(StoreError, match="finite"):
        writer.write_pages(
            [
                (right, (YEAR_2024, YEAR_2024 + 3 * HOUR)),
                (wrong, (YEAR_2024 + 3 * HOUR, YEAR_2024 + 6 * HOUR)),
            ]
        )
    assert files(tmp_path) == []


@pytest.mark.parametrize(
    ("times", "fits"),
    [((0, 1, 2), True), ((0,), True), ((2,), True), ((), True), ((-1, 0), False), ((2, 3), False),
     ((0, 0), False), ((1, 0), False)],
)  # fmt: skip
def test_rows_increase_inside_the_range_that_they_cover(tmp_path, times, fits):
    rows = {name: values[: len(times)] for name, values in bars(YEAR_2024, 3).items()}
    rows["timestamp"] = YEAR_2024 + HOUR * np.array(times, dtype=np.int64)
    with write_series(tmp_path, KEY) as writer:
        try:
            writer.write(rows, (YEAR_2024, YEAR_2024 + 3 * HOUR))
            stored = True
        except StoreError:
            stored = False
    assert stored == fits
    assert stamps(tmp_path) == (rows["timestamp"].tolist() if fits else [])


def test_a_year_without_rows_hides_no_first_and_no_last(tmp_path):
    with write_series(tmp_path, KEY) as writer:
        writer.write(bars(YEAR_2023, 0), (YEAR_2023 - DAY, YEAR_2023))
        writer.write(bars(YEAR_2023 + HOUR, 2), (YEAR_2023, YEAR_2023 + DAY))
        writer.write(bars(YEAR_2024, 0), (YEAR_2024, YEAR_2024 + DAY))
        writer.note_empty(YEAR_2024 + DAY, YEAR_2024 + 3 * DAY)
    info = series_info(tmp_path, KEY)
    assert (info.rows, info.first, info.last) == (2, YEAR_2023 + HOUR, YEAR_2023 + 2 * HOUR)
    assert info.covered == [(YEAR_2023 - DAY, YEAR_2023 + DAY), (YEAR_2024, YEAR_2024 + 3 * DAY)]
    nothing = series_info(tmp_path, ETH)
    assert (nothing.rows, nothing.first, nothing.last, nothing.covered) == (0, None, None, [])
    assert nothing.path == series_path(tmp_path, ETH)


def test_columns_have_their_types_with_and_without_rows(tmp_path):
    put(tmp_path, YEAR_2024, 3)
    for key in (KEY, ETH):
        columns = read_series(tmp_path, key, *ALL).columns
        assert {name: values.dtype for name, values in columns.items()} == {
            "timestamp": np.int64, **dict.fromkeys(("open", "high", "low", "close", "volume"), np.float64),
        }  # fmt: skip


def test_the_holder_of_the_lock_reads_the_same(tmp_path):
    put(tmp_path, YEAR_2024 - DAY, 48)
    with write_series(tmp_path, KEY) as writer:
        inside = writer.read(YEAR_2024 - HOUR, YEAR_2024 + 2 * HOUR)
    assert inside.columns["timestamp"].tolist() == [YEAR_2024 - HOUR, YEAR_2024, YEAR_2024 + HOUR]
    assert inside.columns["close"].tolist() == [123.0, 124.0, 125.0]
    assert inside.covered == [(YEAR_2024 - HOUR, YEAR_2024 + 2 * HOUR)]
