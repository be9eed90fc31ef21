"""Cells, names and symbols that a file gives in two ways are not chosen between in silence."""

import gzip
import logging

import pytest

from feeds import read_bars
from feeds.bars.foreign.hints import Hints
from feeds.errors import BadBars, StoreError

HEADER = "timestamp,open,high,low,close,volume"


def bars(path, header=HEADER, volume="10", more=""):
    rows = [f"{1_704_067_200_000 + k * 3_600_000},100,102,98,101,{volume}{more}" for k in range(4)]
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return read_bars(path, "BTC/USDT:USDT", "1h")


@pytest.mark.parametrize("cell", ["10 11", "1 0", "1 23", "12 3456", "1234 567", "1'0", "1’23", "1 234'5"])
def test_two_numbers_in_a_cell_are_not_one(tmp_path, cell):
    with pytest.raises(BadBars, match="column 'volume': expected a number, found"):
        bars(tmp_path / "x_1h.csv", volume=cell)


@pytest.mark.parametrize(
    ("cell", "number"),
    [("1 234", 1234.0), ("1 234 567.5", 1234567.5), ("1'234.5", 1234.5), ("12’345", 12345.0), ("-0.0", 0.0)],
)
def test_thousands_may_stand_apart(tmp_path, cell, number):
    assert bars(tmp_path / "x_1h.csv", volume=cell)["volume"].tolist() == [number] * 4


def test_a_name_that_comes_twice_is_refused(tmp_path):
    with pytest.raises(BadBars, match="expected each column once, found 'close' twice"):
        bars(tmp_path / "x_1h.csv", header=f"{HEADER},close", more=",200")
    assert len(bars(tmp_path / "y_1h.csv", header=f"{HEADER},,", more=",1,2")) == 4  # of no name


@pytest.mark.parametrize(
    ("named", "warned"), [("ETHUSDT", True), ("BTCUSDT", False), ("BTC-USDT", False), ("", False)]
)
def test_bars_that_name_another_symbol_are_taken_with_a_warning(tmp_path, caplog, named, warned):
    with caplog.at_level(logging.WARNING):
        bars(tmp_path / "x_1h.csv", header=f"{HEADER},symbol", more=f",{named}")
    assert ("names ETHUSDT; its bars are taken for BTC/USDT:USDT" in caplog.text) == warned


@pytest.mark.parametrize("space", ["\u00a0", "\u202f", "\u2009", "\u2007"])
@pytest.mark.parametrize(
    ("cell", "number"), [("1_234", 1234.0), ("1_234_567,5", 1234567.5), ("12_345.25", 12345.25)]
)
def test_thousands_may_stand_apart_by_any_space(tmp_path, space, cell, number):
    text = cell.replace("_", space)
    table = spaced(tmp_path / "x_1h.csv", text)
    assert table["volume"].tolist() == [number] * 4
    with pytest.raises(BadBars, match="column 'volume': expected a number, found"):
        spaced(tmp_path / "y_1h.csv", f"10{space}11")


def spaced(path, volume):
    """Return bars of a file whose cells are separated by semicolons."""
    rows = [f"{1_704_067_200_000 + k * 3_600_000};100;102;98;101;{volume}" for k in range(4)]
    path.write_text("\n".join([HEADER.replace(",", ";"), *rows]) + "\n", encoding="utf-8")
    return read_bars(path, "BTC/USDT:USDT", "1h")


def priced(path, price, volume):
    rows = [f"{1_704_067_200_000 + k * 3_600_000};{price};{price};{price};{price};{volume}" for k in range(4)]
    path.write_text("\n".join([HEADER.replace(",", ";"), *rows]) + "\n", encoding="utf-8")
    return path


def test_a_point_that_can_separate_thousands_is_asked_about(tmp_path):
    """42.000 is forty-two thousand where `;` separates cells as often as it is 42."""
    path = priced(tmp_path / "x_1h.csv", "42.000", "999")
    with pytest.raises(BadBars, match=r"'42.000' can be a thousand and more.*\n.*--decimal comma"):
        read_bars(path)
    assert read_bars(path, hints=Hints(decimal="comma"))["open"].tolist() == [42_000.0] * 4
    assert read_bars(path, hints=Hints(decimal="point"))["open"].tolist() == [42.0] * 4


@pytest.mark.parametrize(
    ("price", "volume", "read"),
    [
        ("147.123", "1234", 147.123),
        ("147.123", "0.500", 147.123),
        ("42.000", "1,5", 42_000.0),
        ("1.25", "1.234", 1.25),
    ],
)
def test_a_cell_that_proves_the_point_answers_for_the_file(tmp_path, price, volume, read):
    assert read_bars(priced(tmp_path / "x_1h.csv", price, volume))["open"].tolist() == [read] * 4


def test_cells_beyond_the_header_are_blank_or_an_error(tmp_path):
    """Pandas would take the first column for an index, and every name would stand one column to the left."""
    table = bars(tmp_path / "x_1h.csv", more=",,")
    assert (table["open"].tolist(), table["volume"].tolist()) == ([100.0] * 4, [10.0] * 4)
    with pytest.raises(BadBars, match=r"row 0 has more than the 6 cells.*decimal comma need quotation marks"):
        bars(tmp_path / "x_1h.csv", volume="12,5")


def test_a_volume_with_a_bare_decimal_comma_is_not_a_volume_and_trades(tmp_path):
    """Seven cells without a header are Kraken's, unless the last two are one number."""
    rows = [f"{1_704_067_200_000 + k * 3_600_000},100,102,98,101,12" for k in range(4)]
    path = tmp_path / "x_1h.csv"
    path.write_text("".join(f"{row},5\n" for row in rows))
    with pytest.raises(BadBars, match="in one volume with a decimal comma"):
        read_bars(path)
    path.write_text("".join(f"{row}.0,5\n" for row in rows))
    assert read_bars(path)["volume"].tolist() == [12.0] * 4


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("packed", [False, True])
def test_text_in_utf_16_is_read_if_it_says_so(tmp_path, encoding, packed):
    plain = bars(tmp_path / "x_1h.csv")
    content = (tmp_path / "x_1h.csv").read_text().encode(encoding)
    path = tmp_path / ("y_1h.csv.gz" if packed else "y_1h.csv")
    path.write_bytes(gzip.compress(content) if packed else content)
    if encoding == "utf-16":  # with its mark
        assert read_bars(path)["open"].tolist() == plain["open"].tolist()
        return
    with pytest.raises(StoreError, match="has zero bytes, as UTF-16 has; save it as UTF-8"):
        read_bars(path)


def test_text_of_another_encoding_is_said(tmp_path):
    path = tmp_path / "x_1h.csv"
    path.write_bytes(f"{HEADER}\n1704067200000,1\u00a0000,1,1,1,1\n".encode("latin-1"))
    with pytest.raises(StoreError, match=r"its text is not UTF-8 \(byte 0xa0\); save it as UTF-8"):
        read_bars(path)


METATRADER = "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>"


def metatrader(path, volumes):
    rows = [
        f"2024.01.02\t{k:02}:00:00\t1.1\t1.2\t1.0\t1.15\t{100 + k}\t{v}\t1" for k, v in enumerate(volumes)
    ]
    path.write_text("\n".join([METATRADER, *rows]) + "\n")
    return path


def test_a_date_and_a_time_of_day_are_one_time_of_a_zone(tmp_path):
    path = metatrader(tmp_path / "EURUSD_1h.csv", [7, 0, 9])
    with pytest.raises(BadBars, match=r"column '<DATE> <TIME>': 2024.01.02 00:00:00 has no time zone"):
        read_bars(path)
    table = read_bars(path, hints=Hints(timezone="Europe/Helsinki"))  # two hours east of UTC in winter
    assert table["timestamp"].tolist() == [1_704_146_400_000 + k * 3_600_000 for k in range(3)]
    assert table["volume"].tolist() == [7.0, 0.0, 9.0]
    assert "timestamp from '<DATE> <TIME>'" in table.attrs["read_as"]


def test_a_volume_of_nothing_beside_counted_ticks_is_asked_about(tmp_path):
    path = metatrader(tmp_path / "EURUSD_1h.csv", [0, 0, 0])
    with pytest.raises(
        BadBars, match=r"'<VOL>' is 0 in every row, and '<TICKVOL>' can be.*\n.*volume=<TICKVOL>"
    ):
        read_bars(path, hints=Hints(timezone="UTC"))
    asked = Hints(timezone="UTC", columns={"volume": "<TICKVOL>"})
    assert read_bars(path, hints=asked)["volume"].tolist() == [100.0, 101.0, 102.0]
