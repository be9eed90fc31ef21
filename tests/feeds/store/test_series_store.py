"""Stored rows are read back unchanged, or their loss is detected; no file is partial or of another series."""

import errno
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feeds.bars.ranges import clip, merge, subtract, windows
from feeds.errors import BadSymbol, StoreError
from feeds.instruments import Instrument
from feeds.store.chunks import Chunk, CorruptChunk, decode, encode, parse_period, periods
from feeds.store.keys import SeriesKey, decode_symbol, encode_symbol, series_columns, series_path, symbol_path
from feeds.store.locks import file_lock
from feeds.store.rules import list_instruments, read_instrument, write_instrument
from feeds.store.series_store import check, list_series, read_series, series_info, write_series
from tests.feeds.store.rows import ALL, DAY, HOUR, KEY, YEAR_2024, bars, files, put, stamps

ZSTD = b"\x28\xb5\x2f\xfd"
DRIVER = Path(__file__).with_name("store_driver.py")


def test_what_is_written_is_read_back(tmp_path):
    put(tmp_path, YEAR_2024 - 5 * HOUR, 10)
    chunk = read_series(tmp_path, KEY, *ALL)
    written = bars(YEAR_2024 - 5 * HOUR, 10)
    assert list(chunk.columns) == list(written)
    for name, values in written.items():
        np.testing.assert_array_equal(chunk.columns[name], values)
    assert chunk.covered == [(YEAR_2024 - 5 * HOUR, YEAR_2024 + 5 * HOUR)]
    assert files(tmp_path) == [f"bybit/BTC_USDT-USDT/1h/{year}.parquet" for year in (2023, 2024)]


def test_reading_a_range_gives_that_range(tmp_path):
    put(tmp_path, YEAR_2024 - 5 * HOUR, 10)
    chunk = read_series(tmp_path, KEY, YEAR_2024 - HOUR, YEAR_2024 + HOUR)
    assert chunk.columns["timestamp"].tolist() == [YEAR_2024 - HOUR, YEAR_2024]
    assert chunk.covered == [(YEAR_2024 - HOUR, YEAR_2024 + HOUR)]


def test_what_was_never_written_is_empty(tmp_path):
    chunk = read_series(tmp_path / "nowhere", KEY, *ALL)
    assert len(chunk.columns["timestamp"]) == 0
    assert chunk.covered == []
    assert list_series(tmp_path / "nowhere") == check(tmp_path / "nowhere") == []
    assert not (tmp_path / "nowhere").exists()


def test_a_file_is_plain_parquet(tmp_path):
    put(tmp_path, YEAR_2024, 3)
    table = pq.read_table(series_path(tmp_path, KEY) / "2024.parquet")
    assert table.column_names == ["timestamp", "open", "high", "low", "close", "volume"]
    assert table.num_rows == 3


@settings(max_examples=12, deadline=None)
@given(order=st.permutations(range(6)), twice=st.integers(0, 5))
def test_pages_in_any_order_make_the_same_bytes(tmp_path_factory, order, twice):
    one, other = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("other")
    put(one, YEAR_2024 - 30 * HOUR, 60)
    for number in [*order, twice]:
        put(other, YEAR_2024 + (number * 10 - 30) * HOUR, 10, level=100.0 + number * 10)
    for name in files(one):
        assert (one / name).read_bytes() == (other / name).read_bytes()
    shutil.rmtree(one)
    shutil.rmtree(other)


def test_a_hole_that_is_covered_is_remembered(tmp_path):
    with write_series(tmp_path, KEY) as writer:
        writer.write(bars(YEAR_2024, 0), (YEAR_2024, YEAR_2024 + DAY))
        writer.note_empty(0, YEAR_2024)
        writer.note_empty(YEAR_2024 - DAY, YEAR_2024)
    assert read_series(tmp_path, KEY, *ALL).covered == [(0, YEAR_2024 + DAY)]
    assert stamps(tmp_path) == []


def test_an_unreadable_note_is_forgotten_not_fatal(tmp_path):
    put(tmp_path, YEAR_2024, 3)
    (series_path(tmp_path, KEY) / "series.json").write_text('{"empty": [[1]]}')
    assert read_series(tmp_path, KEY, *ALL).covered == [(YEAR_2024, YEAR_2024 + 3 * HOUR)]


@pytest.mark.parametrize(
    ("kind", "label"),
    [("1m", "2024-01"), ("30m", "2024-01"), ("1h", "2024"), ("1d", "2024"), ("funding", "2024"),
     ("open_interest_5m", "2024-01"), ("open_interest_1h", "2024")],
)  # fmt: skip
def test_minutes_are_kept_by_month_the_rest_by_year(tmp_path, kind, label):
    key = SeriesKey("bybit", "BTC/USDT:USDT", kind)
    rows = {name: bars(YEAR_2024, 2).get(name, np.ones(2)) for name in series_columns(kind)}
    with write_series(tmp_path, key) as writer:
        writer.write(rows, (YEAR_2024, YEAR_2024 + DAY))
    assert [Path(name).stem for name in files(tmp_path)] == [label]


@pytest.mark.parametrize("monthly", [False, True])
def test_periods_join_without_a_seam(monthly):
    found = list(periods(YEAR_2024 - 1, YEAR_2024 + 800 * DAY, monthly=monthly))
    assert all(a.end == b.start for a, b in itertools.pairwise(found))
    assert found[0].end == YEAR_2024
    assert all(parse_period(period.label) == period for period in found)
    assert parse_period("2024-13") is parse_period("x") is parse_period("2024-1") is None


@pytest.mark.parametrize(
    "rows",
    [
        {"timestamp": np.array([1])},
        bars(YEAR_2024 - HOUR, 3),
        bars(YEAR_2024, 9),
        {name: values[::-1] for name, values in bars(YEAR_2024, 3).items()},
        {**bars(YEAR_2024, 3), "close": np.array([1.0, np.nan, 1.0])},
        {**bars(YEAR_2024, 3), "close": np.array([1.0])},
        {**bars(YEAR_2024, 3), "close": np.ones(4)},
        dict(reversed(bars(YEAR_2024, 3).items())),
    ],
)
def test_rows_that_cannot_be_right_are_not_stored(tmp_path, rows):
    with write_series(tmp_path, KEY) as writer, pytest.raises(StoreError, match="expected"):
        writer.write(rows, (YEAR_2024, YEAR_2024 + 3 * HOUR))
    assert files(tmp_path) == []


# --- names


@given(st.text(min_size=1, max_size=30))
def test_no_symbol_leaves_the_root_and_none_is_another(symbol):
    try:
        name = encode_symbol(symbol)
    except BadSymbol:
        return
    assert decode_symbol(name) == symbol
    assert set(name) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-=")
    path = series_path("/root", SeriesKey("bybit", symbol, "1h"))
    assert path.parent.parent == Path("/root/bybit")


@given(st.text(max_size=10), st.text(max_size=10))
def test_two_symbols_have_two_folders_even_where_case_is_ignored(one, other):
    if one and other and one != other:
        try:
            assert encode_symbol(one).lower() != encode_symbol(other).lower()
        except BadSymbol:
            return


@pytest.mark.parametrize(
    "symbol",
    ["../../etc/passwd", "..", "/etc", "a\\b", "C:\\x", "NUL", "~", "\x00", ".", "-rf", "BTC/../../X"],
)
def test_hostile_symbols_stay_under_the_root(tmp_path, symbol):
    put(tmp_path / "root", YEAR_2024, 1, SeriesKey("bybit", symbol, "1h"))
    assert [p.name for p in tmp_path.iterdir()] == ["root"]
    assert [p.name for p in (tmp_path / "root").iterdir()] == ["bybit"]
    assert [info.key.symbol for info in list_series(tmp_path / "root")] == [symbol]


@pytest.mark.parametrize("symbol", ["", "X" * 200, "\ud800"])
def test_symbols_that_cannot_be_folders_are_refused(symbol):
    with pytest.raises(BadSymbol):
        encode_symbol(symbol)


@pytest.mark.parametrize("name", ["btc", "A=2", "A=41", "=2F", "x/y", "", "A.B", "=FF"])
def test_folders_that_the_store_did_not_make_are_no_symbols(name):
    assert decode_symbol(name) is None


@pytest.mark.parametrize(
    ("exchange", "kind"), [("../x", "1h"), ("", "1h"), ("bybit", "../1h"), ("bybit", "7m")]
)
def test_exchange_and_kind_are_known_names(tmp_path, exchange, kind):
    with pytest.raises(StoreError, match="expected"):
        series_path(tmp_path, SeriesKey(exchange, "BTC/USDT", kind))


def test_a_link_out_of_the_root_is_refused(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "bybit").symlink_to(outside)
    with pytest.raises(StoreError, match="leads out of"):
        put(tmp_path / "root", YEAR_2024, 1)
    assert list(outside.iterdir()) == []


# --- damage


def with_header(body, **changes):
    table = pq.read_table(pa.BufferReader(body))
    header = {**json.loads(table.schema.metadata[b"scorenet"]), **changes}
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata({b"scorenet": json.dumps(header)}), sink)
    return sink.getvalue().to_pybytes()


def flipped(body, at):
    return body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]


def corrupt_ways():
    other = {"exchange": "bybit", "symbol": "ETH/USDT:USDT", "kind": "1h", "period": "2024"}
    foreign = pa.BufferOutputStream()
    pq.write_table(pa.table({"timestamp": [1], "open": [1.0]}), foreign)
    rows = bars(YEAR_2024, 5)
    return {
        "empty": lambda body: b"",
        "truncated": lambda body: body[:-10],
        "cut in half": lambda body: body[: len(body) // 2],
        "text": lambda body: b"not a parquet file",
        "flipped magic": lambda body: b"X" + body[1:],
        "flipped value": lambda body: flipped(body, body.index(ZSTD) + 8),
        "foreign parquet": lambda body: foreign.getvalue().to_pybytes(),
        "another symbol's": lambda body: encode(Chunk(rows, [(YEAR_2024, YEAR_2024 + DAY)]), other),
        "another version's": lambda body: with_header(body, format=9),
        "changed coverage": lambda body: with_header(body, covered=[[0, YEAR_2024]]),
        "no header": lambda body: with_header(body, sha256=None, format=None),
    }


def test_a_chunk_in_parquet_s_usual_encoding_is_read_alike(tmp_path):
    # In the format of earlier versions.
    put(tmp_path, YEAR_2024, 50)
    path = series_path(tmp_path, KEY) / "2024.parquet"
    before = read_series(tmp_path, KEY, *ALL)
    path.write_bytes(with_header(path.read_bytes()))
    after = read_series(tmp_path, KEY, *ALL)
    assert after.covered == before.covered
    for name, values in before.columns.items():
        np.testing.assert_array_equal(after.columns[name], values)


@pytest.mark.parametrize("way", corrupt_ways().values(), ids=corrupt_ways())
def test_a_corrupt_file_is_moved_aside_and_counts_as_missing(tmp_path, way):
    put(tmp_path, YEAR_2024 - 5 * HOUR, 10)
    victim = series_path(tmp_path, KEY) / "2024.parquet"
    victim.write_bytes(way(victim.read_bytes()))
    assert [damage.path for damage in check(tmp_path)] == [victim]
    chunk = read_series(tmp_path, KEY, *ALL)
    assert chunk.covered == [(YEAR_2024 - 5 * HOUR, YEAR_2024)]
    assert len(chunk.columns["timestamp"]) == 5
    assert not victim.exists()
    [damage] = check(tmp_path)
    assert damage.path.name == "2024.parquet.corrupt"
    put(tmp_path, YEAR_2024, 5, level=105.0)
    assert check(tmp_path) == []
    assert len(stamps(tmp_path)) == 10


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_whatever_bytes_are_changed_values_are_right_or_refused(data):
    rows = bars(YEAR_2024, 40)
    identity = {"exchange": "bybit", "symbol": "X", "kind": "1h", "period": "2024"}
    body = bytearray(encode(Chunk(rows, [(YEAR_2024, YEAR_2024 + DAY)]), identity))
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        chunk = decode(bytes(body), identity, list(rows))
    except CorruptChunk:
        return
    assert chunk.covered == [(YEAR_2024, YEAR_2024 + DAY)]
    for name, values in rows.items():
        np.testing.assert_array_equal(chunk.columns[name], values)


def test_no_flipped_bit_of_a_footer_ends_the_process():
    """pyarrow aborts when it is asked for the columns of some of these footers."""
    rows = bars(YEAR_2024, 40)
    identity = {"exchange": "bybit", "symbol": "X", "kind": "1h", "period": "2024"}
    whole = encode(Chunk(rows, [(YEAR_2024, YEAR_2024 + DAY)]), identity)
    begin, refused = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little"), 0
    for place in range(begin, begin + 100):
        for bit in range(8):
            changed = whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :]
            try:
                chunk = decode(changed, identity, list(rows))
            except CorruptChunk:
                refused += 1
            else:
                assert all(np.array_equal(chunk.columns[name], rows[name]) for name in rows)
    assert refused > 400


def test_column_names_that_are_no_text_are_refused():
    rows = bars(YEAR_2024, 40)
    identity = {"exchange": "bybit", "symbol": "X", "kind": "1h", "period": "2024"}
    whole = encode(Chunk(rows, [(YEAR_2024, YEAR_2024 + DAY)]), identity)
    refused = 0
    for found in re.finditer(b"timestamp", whole):
        try:
            chunk = decode(
                whole[: found.start()] + b"\xf4" + whole[found.start() + 1 :], identity, list(rows)
            )
        except CorruptChunk:
            refused += 1
        else:
            np.testing.assert_array_equal(chunk.columns["timestamp"], rows["timestamp"])
    assert refused


@given(st.binary(max_size=300))
def test_any_bytes_are_no_chunk(body):
    with pytest.raises(CorruptChunk):
        decode(body, {}, ["timestamp"])


# --- crashes, full disks, other writers


def test_killed_anywhere_the_store_loads_and_resumes_to_the_same_bytes(tmp_path):
    command = [sys.executable, str(DRIVER), str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    printed = subprocess.run(
        command, capture_output=True, text=True, env=environment, timeout=120, check=True
    )
    kills = [json.loads(line) for line in printed.stdout.splitlines()]
    assert [kill["killed"] for kill in kills] == [True] * (len(kills) - 1) + [False]
    assert len(kills) > 12
    rows = [kill["rows"] for kill in kills]
    assert rows == sorted(rows)
    assert rows[-1] == 144
    folders = sorted(tmp_path.iterdir())
    for folder in folders:
        assert files(folder) == files(folders[0])
        for name in files(folder):
            assert (folder / name).read_bytes() == (folders[0] / name).read_bytes()


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, failing):
    put(tmp_path, YEAR_2024, 3)
    before = {name: (tmp_path / name).read_bytes() for name in files(tmp_path)}

    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(
            *(("scorenet.base.files.os.fsync", full) if failing == "fsync" else (Path, "replace", full))
        )
        with pytest.raises(StoreError, match=r"No space left on device; data stored before is intact"):
            put(tmp_path, YEAR_2024 + 3 * HOUR, 3)
    assert {name: (tmp_path / name).read_bytes() for name in files(tmp_path)} == before


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "data").write_text("a file where the folder should be")
    with pytest.raises(StoreError, match=r"cannot create .*; use another folder"):
        put(tmp_path / "data", YEAR_2024, 1)


def test_a_read_only_folder_is_an_error_and_can_be_read(tmp_path, monkeypatch):
    put(tmp_path, YEAR_2024, 3)

    def denied(*arguments):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("filelock._unix.os.open", denied)
    with pytest.raises(StoreError, match=r"cannot open the lock .*Permission denied"):
        put(tmp_path, YEAR_2024, 3)
    assert len(stamps(tmp_path)) == 3


def test_leftovers_of_a_killed_writer_are_removed(tmp_path):
    put(tmp_path, YEAR_2024, 1)
    (series_path(tmp_path, KEY) / ".2024.parquet.1.abcd.tmp").write_bytes(b"half")
    put(tmp_path, YEAR_2024 + HOUR, 1)
    assert [Path(name).name for name in files(tmp_path)] == ["2024.parquet"]


def test_leftovers_of_a_killed_writer_of_rules_are_removed(tmp_path):
    btc = Instrument("BTC/USDT:USDT", "BTCUSDT", "linear", 0.1, 0.001, 0.001, 5.0, 480, None, True)
    folder = symbol_path(tmp_path, "bybit", btc.symbol)
    folder.mkdir(parents=True)
    (folder / ".instrument.json.1.abcd.tmp").write_bytes(b"half")
    assert not write_instrument(tmp_path, "bybit", btc, YEAR_2024)
    assert files(tmp_path) == ["bybit/BTC_USDT-USDT/instrument.json"]
    assert read_instrument(tmp_path, "bybit", btc.symbol).instrument == btc


def test_rules_in_the_folder_of_another_market_are_not_its_rules(tmp_path):
    btc = Instrument("BTC/USDT:USDT", "BTCUSDT", "linear", 0.1, 0.001, 0.001, 5.0, 480, None, True)
    write_instrument(tmp_path, "bybit", btc, YEAR_2024)
    for exchange, symbol in (("bybit", "ETH/USDT:USDT"), ("binance", btc.symbol)):
        other = symbol_path(tmp_path, exchange, symbol)
        other.mkdir(parents=True)
        shutil.copy(symbol_path(tmp_path, "bybit", btc.symbol) / "instrument.json", other)
        assert read_instrument(tmp_path, exchange, symbol) is None
    assert [found.instrument.symbol for found in list_instruments(tmp_path)] == [btc.symbol]


def test_a_second_writer_waits_and_says_for_whom(tmp_path):
    with write_series(tmp_path, KEY):
        with (
            pytest.raises(StoreError, match=rf"another process \(pid {os.getpid()}\)"),
            write_series(tmp_path, KEY, timeout=0.1),
        ):
            pytest.fail("two writers at once")
        assert stamps(tmp_path) == []
    put(tmp_path, YEAR_2024, 1)


def test_the_lock_of_a_dead_owner_is_free(tmp_path):
    lock = tmp_path / ".lock"
    lock.write_text("999999999\n")
    with file_lock(lock, 0.0):
        assert lock.read_text() == f"{os.getpid()}\n"


def test_many_writers_make_the_union(tmp_path):
    failures = []

    def work(number):
        try:
            for k in range(number, 24, 4):
                put(tmp_path, YEAR_2024 + k * 10 * HOUR, 10, level=float(k * 10 + 1))
        except StoreError as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    chunk = read_series(tmp_path, KEY, *ALL)
    assert chunk.covered == [(YEAR_2024, YEAR_2024 + 240 * HOUR)]
    np.testing.assert_array_equal(chunk.columns["close"], np.arange(1.0, 241.0))


# --- listing


def test_series_are_listed_with_what_they_cover(tmp_path):
    put(tmp_path, YEAR_2024 - HOUR, 3)
    put(tmp_path, YEAR_2024, 2, SeriesKey("bybit", "ETH/USDT", "1m"), step=60_000)
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "bybit" / "lowercase" / "1h").mkdir(parents=True)
    eth, btc = sorted(list_series(tmp_path), key=lambda info: info.rows)
    assert (btc.key, btc.rows, btc.first, btc.last) == (KEY, 3, YEAR_2024 - HOUR, YEAR_2024 + HOUR)
    assert btc.covered == [(YEAR_2024 - HOUR, YEAR_2024 + 2 * HOUR)]
    assert (eth.key.symbol, eth.key.kind, eth.rows) == ("ETH/USDT", "1m", 2)
    assert series_info(tmp_path, KEY) == btc


def test_listing_passes_over_a_corrupt_file_and_checking_names_it(tmp_path):
    put(tmp_path, YEAR_2024 - HOUR, 3)
    (series_path(tmp_path, KEY) / "2024.parquet").write_bytes(b"x")
    [info] = list_series(tmp_path)
    assert (info.rows, info.last) == (1, YEAR_2024 - HOUR)
    [damage] = check(tmp_path)
    assert "not a complete parquet file" in damage.reason


# --- ranges

spans = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=8)


def points(ranges):
    return {p for a, b in ranges for p in range(a, b)}


@given(spans, st.integers(0, 60), st.integers(0, 60))
def test_ranges_are_sets_of_points(ranges, start, end):
    assert points(merge(ranges)) == points(ranges)
    assert points(clip(ranges, start, end)) == points(ranges) & points([(start, end)])
    assert points(subtract((start, end), ranges)) == points([(start, end)]) - points(ranges)
    assert all(a[1] < b[0] for a, b in itertools.pairwise(merge(ranges)))


@given(spans, st.integers(1, 9))
def test_windows_cut_without_loss(ranges, length):
    cut = list(windows(merge(ranges), length))
    assert points(cut) == points(ranges)
    assert all(0 < b - a <= length for a, b in cut)
