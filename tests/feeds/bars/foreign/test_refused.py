"""What a file leaves open is an error with the command that answers it, and that command works."""

import re
import shlex
import struct
import zipfile

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from click.testing import CliRunner

from feeds.bars import caps
from feeds.bars.files import read_bars
from feeds.bars.foreign import Hints, feather, parse_columns, unpack
from feeds.errors import BadBars, BadSource, StoreError
from runs.cli import main
from tests.feeds.bars.foreign.test_programs import (
    BARS,
    BINANCE,
    CANDLES,
    ISO,
    SECONDS,
    TEXTS,
    lines,
    the_bars,
)
from tests.feeds.bars.frames import HOUR, START

DAYS = "Date,Open,High,Low,Close,Volume"


def dated(*dates, header=DAYS):
    return lines([(date, *bar) for date, bar in zip(dates, BARS, strict=False)], header)


REFUSED = {
    "times without a zone": (dated(*ISO), "has no time zone", "--timezone UTC"),
    "day or month first": (
        dated("01/02/2024", "02/02/2024"),
        "can be day and month or month and day",
        "--dates dmy",
    ),
    "a thousand or three decimals": (
        lines(
            [(s, *(f'"{max(int(x), 100) // 100},{int(x) % 100:03d}"' for x in bar)) for s, *bar in CANDLES],
            DAYS,
        ),
        "can be a thousand and more, or a number with three decimals",
        "--decimal comma",
    ),
    "no header, eight columns": (
        lines([(s, o, h, low, c, c, v, 9) for s, o, h, low, c, v in CANDLES]),
        "the file has no header, and no program that is known writes these 8 columns",
        "--columns timestamp=1,open=2,high=3,low=4,close=5,volume=6",
    ),
    "two columns for one": (
        lines([(*row, row[-1]) for row in CANDLES], "time,Open,High,Low,Close,Volume,VOLUME"),
        "'Volume' and 'VOLUME' can both be volume",
        "--columns volume=Volume",
    ),
    "a date beside a time": (
        lines([("2024.01.01", "00:00", *BARS[0])], "<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>"),
        "'<DATE> <TIME>': 2024.01.01 00:00 has no time zone",
        "--timezone UTC",
    ),
    "a volume in the other coin only": (
        lines(CANDLES, "unix,open,high,low,close,Volume USDT"),
        "'Volume USDT' may be counted in another",
        "--columns 'volume=Volume USDT'",
    ),
    "midnight elsewhere": (
        dated("2024-01-02 00:00:00+09:00", "2024-01-03 00:00:00+09:00"),
        "is midnight there and not in UTC",
        "--dates days",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_file_leaves_open_is_answered_by_the_command_that_is_told(tmp_path, case):
    text, says, option = REFUSED[case]
    path = tmp_path / ("a file_1d.csv" if "day" in case or "midnight" in case else "a file_1h.csv")
    path.write_text(text)
    with pytest.raises(BadBars, match=re.escape(says)) as caught:
        read_bars(path)
    told = str(caught.value).splitlines()
    assert len(told) == 2
    assert told[1].startswith("took ")
    words = shlex.split(re.search(r"try `scorenet (.*)`", told[1])[1])
    assert " ".join(shlex.split(option)) in " ".join(words)
    done = CliRunner().invoke(main, [*words, "--data-dir", str(tmp_path / "data")])
    assert done.exit_code == 0, done.output


def test_answers_are_read_as_they_are_meant(tmp_path):
    path = tmp_path / "x_1h.csv"
    path.write_text(dated(*[f"01/02/2024 {k:02d}:00" for k in range(3)]))
    both = {"timezone": "UTC", "dates": "dmy"}
    assert read_bars(path, hints=Hints(**both))["timestamp"].tolist()[0] == START + 31 * 24 * HOUR
    both["dates"] = "mdy"
    assert read_bars(path, hints=Hints(**both))["timestamp"].tolist()[0] == START + 24 * HOUR
    path.write_text(dated(*ISO))
    shifted = read_bars(path, hints=Hints(timezone="America/New_York"))
    assert shifted["timestamp"].tolist()[0] == START + 5 * HOUR
    text = lines(
        [(s, *(f'"{max(int(x), 100) // 100},{int(x) % 100:03d}"' for x in bar)) for s, *bar in CANDLES], DAYS
    )
    path.write_text(text)
    assert read_bars(path, hints=Hints(decimal="point"))["open"].tolist() == [420_000.0, 420_050.0, 421_050.0]
    assert read_bars(path, hints=Hints(decimal="comma"))["open"].tolist() == [420.0, 420.05, 421.05]


@pytest.mark.parametrize(
    ("dates", "says"),
    [
        (("13/01/2024", "01/14/2024"), "some dates begin with the day and some with the month"),
        (("2024-01-01", "2024/01/02"), "is not written as the times before it"),
        (("2024-01-01T00:00Z", "2024-01-02T00:00"), "has no time zone"),
        (("1.704067E+12", "1.704067E+12"), "is rounded, as spreadsheets do"),
        (
            ("1704067200", "1704070800000"),
            "is not in seconds since 1970, as the rows before it are; split the file",
        ),
        (("12345", "12346"), "is no time between 1973 and 2286"),
        (("yesterday", "today"), "is no time that is known"),
        (("", "2024-01-01"), "the time is missing"),
    ],
)
def test_times_that_are_refused(tmp_path, dates, says):
    (tmp_path / "x.csv").write_text(dated(*dates))
    with pytest.raises(BadBars, match=re.escape(says)):
        read_bars(tmp_path / "x.csv")


@pytest.mark.parametrize(
    ("dates", "said"),
    [
        (("2024-11-03 00:00", "2024-11-03 01:00", "2024-11-03 02:00"), "2024-11-03 01:00"),
        (("2024-03-10 01:00", "2024-03-10 02:00"), "2024-03-10 02:00"),
    ],
)
def test_a_time_that_happened_twice_or_never_is_refused(tmp_path, dates, said):
    (tmp_path / "x_1h.csv").write_text(dated(*dates))
    with pytest.raises(BadBars, match=f"does not exist once in America/New_York: {said} is there") as refused:
        read_bars(tmp_path / "x_1h.csv", hints=Hints(timezone="America/New_York"))
    assert "--timezone" not in str(refused.value)  # another zone would move every bar


@pytest.mark.parametrize("last", ["Total", "timestamp", "# end"])
def test_a_row_that_is_no_bar_is_the_one_that_is_named(tmp_path, last):
    (tmp_path / "x_1h.csv").write_text(dated("1704067200000", "1704070800000", last))
    with pytest.raises(BadBars, match=f"row 2, column '.*': '{last}' is not written as the times before it"):
        read_bars(tmp_path / "x_1h.csv")


def test_numbers_that_contradict_each_other_are_refused(tmp_path):
    rows = [(s, f'"{x:,.2f}"', *bar[1:]) for (s, *bar), x in zip(CANDLES, (42000.5, 1, 2), strict=True)]
    rows[1] = (rows[1][0], '"42.050,5"', *rows[1][2:])
    (tmp_path / "x.csv").write_text(lines(rows, DAYS))
    with pytest.raises(BadBars, match=r"'42,000.50' has a decimal point, and '42.050,5' .* a decimal comma"):
        read_bars(tmp_path / "x.csv")


@pytest.mark.parametrize("cell", ["1_000", "12 apples", "1,2,3", "--1", "1.23M"])
def test_what_is_no_number_stays_an_error(tmp_path, cell):
    rows = [(s, *bar[:-1], f'"{cell}"') for s, *bar in CANDLES]
    (tmp_path / "x.csv").write_text(lines(rows, DAYS))
    with pytest.raises(BadBars, match=re.escape(f"expected a number, found {cell!r}")):
        read_bars(tmp_path / "x.csv")


def test_a_candle_in_another_order_is_told_with_what_was_taken(tmp_path):
    """Bitfinex puts the close before the high: a high below the open shows it."""
    (tmp_path / "x.csv").write_text(lines([(s * 1000, o, c, h, low, v) for s, o, h, low, c, v in CANDLES]))
    with pytest.raises(BadBars, match=r"expected high >= low|expected a price between low and high"):
        read_bars(tmp_path / "x.csv")
    (tmp_path / "x.csv").write_text(lines([(s, o, c, h, low, v) for s, o, h, low, c, v in CANDLES]))
    with pytest.raises(BadBars, match=r"\n.*times are seconds since 1970; `--columns` of"):
        read_bars(tmp_path / "x.csv")


def test_hints_are_checked():
    assert parse_columns(["open=Open,close=Last Price", "volume=Vol"]) == {
        "open": "Open",
        "close": "Last Price",
        "volume": "Vol",
    }
    for text, says in (("open", "expected NAME=COLUMN"), ("open=a,open=b", "expected each name once")):
        with pytest.raises(BadSource, match=says):
            parse_columns([text])
    with pytest.raises(BadSource, match="'opne' is no column of bars; did you mean 'open'"):
        Hints(columns={"opne": "x"})
    for hint in ({"timezone": "Mars/Base"}, {"dates": "ymd"}, {"decimal": ","}):
        with pytest.raises(BadSource, match=f"{next(iter(hint))}: expected"):
            Hints(**hint)


def zipped(path, members, **flags):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return path


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({}, r"expected one file in the archive, found 0 \(none\)"),
        ({"a.csv": "x", "b.csv": "y"}, r"expected one file in the archive, found 2 \(a.csv, b.csv\)"),
        ({"../a.csv": "x"}, "expected a plain file name in the archive, found '../a.csv'"),
        ({"/etc/a.csv": "x"}, "expected a plain file name in the archive"),
        ({"a.exe": "x"}, "expected a .csv file in the archive, found 'a.exe'"),
        ({"a.csv": "0" * 5_000_000}, "unpack to more than 1,048,576, which bars never do"),
    ],
)
def test_archives_that_are_refused(tmp_path, members, says):
    with pytest.raises(StoreError, match=says):
        read_bars(zipped(tmp_path / "x_1h.zip", members))


@pytest.mark.parametrize(
    ("method", "named"), [(9, r"deflate64 \(method 9\)"), (93, "zstandard"), (77, "method 77")]
)
def test_an_archive_of_another_method_is_not_called_damaged(tmp_path, method, named):
    path = zipped(tmp_path / "x_1h.zip", {"x.csv": TEXTS["kraken"][1]})
    content = path.read_bytes()
    for mark, at in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        place = content.index(mark) + at
        content = content[:place] + method.to_bytes(2, "little") + content[place + 2 :]
    path.write_bytes(content)
    with pytest.raises(
        StoreError, match=f"'x.csv' in it is compressed by {named}.*, which is not read; unpack it"
    ):
        read_bars(path)


def test_damaged_archives_are_one_line(tmp_path):
    path = zipped(tmp_path / "x_1h.zip", {"x.csv": TEXTS["kraken"][1] * 50})
    content = path.read_bytes()
    for damaged in (
        b"PK\x03\x04junk",
        content[: len(content) // 2],
        content[:60] + b"\xff" * 20 + content[80:],
    ):
        path.write_bytes(damaged)
        with pytest.raises(StoreError, match=r"x_1h.zip.*(damaged)"):
            read_bars(path)
    for damaged in (b"\x1f\x8bjunk", b"plain"):
        (tmp_path / "x.csv.gz").write_bytes(damaged)
        with pytest.raises(StoreError, match="the archive is damaged"):
            read_bars(tmp_path / "x.csv.gz")
    assert unpack.inner_name(tmp_path / "BTC_1h.zip") == "BTC_1h.csv"


def test_a_feather_bomb_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    path = tmp_path / "bomb_1h.feather"
    frame = pd.DataFrame(BARS * 100, columns=["open", "high", "low", "close", "volume"])
    frame["date"] = 0
    frame.to_feather(path, compression="zstd")
    monkeypatch.setenv(caps.MAX_ROWS_VARIABLE, "100")
    with pytest.raises(StoreError, match="at most 100 rows, found 300"):
        read_bars(path)
    monkeypatch.delenv(caps.MAX_ROWS_VARIABLE)
    monkeypatch.setattr(feather, "_sizes", lambda buffer: (300, 1 << 33))
    with pytest.raises(StoreError, match="300 rows unpack to 8,589,934,592 bytes, which bars never do"):
        read_bars(path)


def test_sizes_of_a_feather_file_are_those_it_states(tmp_path):
    table = pa.table({"a": np.zeros(70_000), "b": np.arange(70_000)})
    for compression in ("zstd", "lz4", "uncompressed"):
        pa.feather.write_feather(table, tmp_path / "x.feather", compression=compression)
        content = (tmp_path / "x.feather").read_bytes()
        rows, unpacked = feather._sizes(pa.py_buffer(content).slice(8))
        assert rows == 70_000
        assert abs(unpacked - table.nbytes) < 1_000
    with pytest.raises(ValueError, match="damaged"):
        feather._batch(struct.pack("<I", 1 << 30), b"")


def test_damaged_feather_files_never_give_other_bars(tmp_path):
    path = tmp_path / "BTC_USDT-1h.feather"
    frame = pd.DataFrame(BARS, columns=["open", "high", "low", "close", "volume"])
    frame.insert(0, "date", pd.to_datetime(SECONDS, unit="s", utc=True))
    frame.to_feather(path, compression="lz4")
    content = path.read_bytes()
    assert the_bars(read_bars(path))
    for cut in range(0, len(content), max(1, len(content) // 40)):
        path.write_bytes(content[:cut] or b"x")
        try:
            assert the_bars(read_bars(path))  # the footer, which is not needed, may be gone
        except StoreError as error:
            assert "BTC_USDT-1h.feather" in str(error)  # noqa: PT017 - both outcomes are right


def test_binance_in_two_units_is_refused(tmp_path):
    rows = [*BINANCE[:2], (SECONDS[2] * 1_000_000, *BINANCE[2][1:])]
    (tmp_path / "BTCUSDT_1h.csv").write_text(lines(rows))
    with pytest.raises(BadBars, match="is not in milliseconds since 1970, as the rows before it are"):
        read_bars(tmp_path / "BTCUSDT_1h.csv")
