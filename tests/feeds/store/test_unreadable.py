"""What cannot be read is an error that says so; what is damaged is left out, and only that."""

import errno
import hashlib
import json
import os
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feeds.errors import StoreError
from feeds.store.chunks import CorruptChunk, decode
from feeds.store.keys import SeriesKey, series_path
from feeds.store.series_store import check, list_series, read_series, series_info, write_series
from tests.feeds.store.rows import ALL, DAY, ETH, HOUR, KEY, YEAR_2023, YEAR_2024, files, put, stamps


@pytest.fixture
def deny(monkeypatch):
    """Return a function after which a folder may be entered but not listed, as after `chmod 311`."""

    def denied_for(folder):
        for name in ("scandir", "listdir"):
            listed = getattr(os, name)

            def denied(path=".", listed=listed):
                if os.fspath(path) == str(folder):
                    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
                return listed(path)

            monkeypatch.setattr(os, name, denied)

    return denied_for


@pytest.mark.parametrize(
    "parts", [(), ("bybit",), ("bybit", "BTC_USDT-USDT"), ("bybit", "BTC_USDT-USDT", "1h")]
)
@pytest.mark.parametrize("look", [list_series, check])
def test_a_folder_that_may_not_be_listed_is_not_an_empty_one(tmp_path, deny, parts, look):
    put(tmp_path, YEAR_2024, 3)
    deny(tmp_path.joinpath(*parts))
    with pytest.raises(StoreError, match=r"cannot read .*: Permission denied"):
        look(tmp_path)


@pytest.mark.parametrize("look", [read_series, lambda folder, key, *_: series_info(folder, key)])
def test_a_series_that_may_not_be_listed_is_not_an_empty_one(tmp_path, deny, look):
    put(tmp_path, YEAR_2024, 3)
    deny(series_path(tmp_path, KEY))
    with pytest.raises(StoreError, match=r"cannot read .*1h: Permission denied"):
        look(tmp_path, KEY, *ALL)


def test_folders_of_others_beside_the_store_are_not_entered(tmp_path, deny):
    put(tmp_path, YEAR_2024, 3)
    for name in ("lost+found", "bybit/notes", "bybit/BTC_USDT-USDT/charts"):
        (tmp_path / name).mkdir()
        deny(tmp_path / name)
    assert [info.key for info in list_series(tmp_path)] == [KEY]
    assert check(tmp_path) == []


def test_a_file_in_place_of_the_store_is_an_error(tmp_path):
    (tmp_path / "data").write_text("a file")
    with pytest.raises(StoreError, match=r"cannot read .*data: Not a directory"):
        list_series(tmp_path / "data")


@pytest.mark.parametrize("look", [lambda root: read_series(root, KEY, *ALL), check])
def test_a_file_that_cannot_be_read_is_not_taken_for_a_damaged_one(tmp_path, look):
    (series_path(tmp_path, KEY) / "2024.parquet").mkdir(parents=True)
    with pytest.raises(StoreError, match=r"cannot read .*2024\.parquet: Is a directory"):
        look(tmp_path)
    assert not list(tmp_path.rglob("*.corrupt"))


def test_a_name_that_the_file_system_refuses_is_an_error(tmp_path):
    with pytest.raises(StoreError, match=r"cannot read .*: File name too long"):
        read_series(tmp_path / ("x" * 300), KEY, *ALL)


def test_a_note_that_cannot_be_read_is_an_error(tmp_path):
    put(tmp_path, YEAR_2024, 3)
    (series_path(tmp_path, KEY) / "series.json").mkdir()
    with pytest.raises(StoreError, match=r"cannot read .*series\.json: Is a directory"):
        read_series(tmp_path, KEY, *ALL)


def test_a_damaged_file_that_cannot_be_moved_aside_is_an_error(tmp_path):
    put(tmp_path, YEAR_2024, 3)
    victim = series_path(tmp_path, KEY) / "2024.parquet"
    victim.write_bytes(b"damaged")
    victim.with_name("2024.parquet.corrupt").mkdir()
    with pytest.raises(StoreError, match=r"2024\.parquet is corrupt and cannot be moved: Is a directory"):
        read_series(tmp_path, KEY, *ALL)
    assert victim.read_bytes() == b"damaged"


def with_note(folder, **changes):
    path = series_path(folder, KEY) / "series.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"sha256": "0" * 64},
        {"sha256": "f" * 64},
        {"sha256": None},
        {"empty": [[0, YEAR_2024 + DAY]]},
        {"empty": 1},
    ],
)
def test_a_changed_note_is_forgotten(tmp_path, changes):
    with write_series(tmp_path, KEY) as writer:
        writer.note_empty(YEAR_2024, YEAR_2024 + DAY)
    assert read_series(tmp_path, KEY, *ALL).covered == [(YEAR_2024, YEAR_2024 + DAY)]
    with_note(tmp_path, **changes)
    assert read_series(tmp_path, KEY, *ALL).covered == series_info(tmp_path, KEY).covered == []


def test_a_note_in_the_folder_of_another_series_is_none(tmp_path):
    """Swapped, it would say that a month of funding was looked for and does not exist: no request, a funding of 0."""
    with write_series(tmp_path, KEY) as writer:
        writer.note_empty(YEAR_2024, YEAR_2024 + DAY)
    note = series_path(tmp_path, KEY) / "series.json"
    for other in (ETH, SeriesKey("bybit", KEY.symbol, "funding"), SeriesKey("binance", KEY.symbol, KEY.kind)):
        with write_series(tmp_path, other) as writer:
            shutil.copy(note, series_path(tmp_path, other))
            assert writer.read(*ALL).covered == series_info(tmp_path, other).covered == []
            writer.note_empty(YEAR_2024, YEAR_2024 + HOUR)
            assert writer.read(*ALL).covered == [(YEAR_2024, YEAR_2024 + HOUR)]


def test_a_note_of_an_earlier_version_counts(tmp_path):
    empty = [[YEAR_2024, YEAR_2024 + DAY]]
    put(tmp_path, YEAR_2024 + DAY, 1)
    text = json.dumps({"empty": empty, "sha256": hashlib.sha256(json.dumps(empty).encode()).hexdigest()})
    (series_path(tmp_path, KEY) / "series.json").write_text(text)
    assert read_series(tmp_path, KEY, *ALL).covered == [(YEAR_2024, YEAR_2024 + DAY + HOUR)]


@pytest.mark.parametrize("empty", [[[1]], [["a", "b"]], [[None, 1]], 7, None])
def test_a_note_with_a_right_checksum_and_no_ranges_is_forgotten(tmp_path, empty):
    put(tmp_path, YEAR_2024, 3)
    digest = hashlib.sha256(json.dumps(empty).encode()).hexdigest()
    note = series_path(tmp_path, KEY) / "series.json"
    for text in (
        json.dumps({"empty": empty, "sha256": digest}),
        json.dumps({"empty": empty}),
        "[]",
        "",
        "[" * 100_000,
    ):
        note.write_text(text)
        assert read_series(tmp_path, KEY, *ALL).covered == [(YEAR_2024, YEAR_2024 + 3 * HOUR)]


def test_files_of_others_in_a_series_are_passed_over(tmp_path):
    put(tmp_path, YEAR_2024, 3)
    folder = series_path(tmp_path, KEY)
    (folder / "notes.parquet").write_bytes(b"mine")
    (folder / "2023.txt").write_bytes(b"mine")
    assert len(stamps(tmp_path)) == 3
    assert series_info(tmp_path, KEY).rows == 3
    assert check(tmp_path) == []
    assert len(files(tmp_path)) == 3


@pytest.mark.parametrize("damaged", ["2022", "2023", "2024"])
def test_one_damaged_file_hides_no_other(tmp_path, damaged):
    put(tmp_path, YEAR_2023 - DAY, 24 * 367)
    victim = series_path(tmp_path, KEY) / f"{damaged}.parquet"
    victim.write_bytes(b"damaged")
    info = series_info(tmp_path, KEY)
    whole = {
        "2022": (YEAR_2023 - DAY, YEAR_2023),
        "2023": (YEAR_2023, YEAR_2024),
        "2024": (YEAR_2024, YEAR_2024 + DAY),
    }
    del whole[damaged]
    (first, _), (_, end) = whole.values()
    assert info.rows == sum((b - a) // HOUR for a, b in whole.values())
    assert (info.first, info.last) == (first, end - HOUR)
    assert sum(b - a for a, b in info.covered) == info.rows * HOUR
    assert len(stamps(tmp_path)) == info.rows
    assert [path.name for path in victim.parent.glob("*.corrupt")] == [f"{damaged}.parquet.corrupt"]


@pytest.mark.parametrize(
    ("span", "untouched"),
    [((YEAR_2024, YEAR_2024 + DAY), True), ((YEAR_2024 - 1, YEAR_2024 + DAY), False),
     ((YEAR_2023 - DAY, YEAR_2023), True), ((YEAR_2023 - DAY, YEAR_2023 + 1), False)],
)  # fmt: skip
def test_reading_touches_no_file_outside_its_range(tmp_path, span, untouched):
    put(tmp_path, YEAR_2023 - DAY, 24 * 367)
    victim = series_path(tmp_path, KEY) / "2023.parquet"
    victim.write_bytes(b"damaged")
    read_series(tmp_path, KEY, *span)
    assert victim.exists() == untouched


def test_every_damaged_file_of_every_series_is_named(tmp_path):
    for key in (KEY, ETH):
        put(tmp_path, YEAR_2024 - DAY, 48, key)
    victims = [series_path(tmp_path, key) / f"{year}.parquet" for key in (KEY, ETH) for year in (2023, 2024)]
    for victim in victims[:-1]:
        victim.write_bytes(b"damaged")
    assert [damage.path for damage in check(tmp_path)] == victims[:-1]
    read_series(tmp_path, KEY, *ALL)
    aside = [victim.with_name(f"{victim.name}.corrupt") for victim in victims[:2]]
    damages = check(tmp_path)
    assert [damage.path for damage in damages] == [*aside, victims[2]]
    assert "moved aside" in damages[0].reason
    assert "not a complete parquet file" in damages[2].reason


def test_a_chunk_with_more_rows_than_a_year_has_is_not_read():
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"timestamp": pa.array(np.zeros(600_000, dtype=np.int64))}), sink)
    with pytest.raises(CorruptChunk, match="600,000 rows, 1 columns: more than a chunk can have"):
        decode(sink.getvalue().to_pybytes(), {}, ["timestamp"])


def test_metadata_nested_without_end_is_corrupt():
    table = pa.table({"timestamp": pa.array([0])}).replace_schema_metadata({"scorenet": "[" * 200_000})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    with pytest.raises(CorruptChunk, match="a parquet file that this store did not write"):
        decode(sink.getvalue().to_pybytes(), {}, ["timestamp"])
