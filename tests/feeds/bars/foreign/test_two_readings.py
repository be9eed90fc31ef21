"""Cells, names and symbols that a file gives in two ways are not chosen between in silence."""

import logging

import pytest

from feeds import read_bars
from feeds.errors import BadBars

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
