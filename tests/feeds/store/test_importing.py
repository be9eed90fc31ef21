"""An import says which stored rows it replaces by other values."""

import logging

from feeds.bars.frame import as_bars
from feeds.store.importing import store_bars
from feeds.store.keys import SeriesKey
from feeds.store.series_store import read_series
from tests.feeds.bars.frames import HOUR, START, small_frame

SYMBOL = "BTC/USDT:USDT"


def frame(**changes):
    bars = small_frame(30).assign(funding_rate=0.0, open_interest=50.0)
    bars.loc[[8, 16, 24], "funding_rate"] = 0.0001
    for column, (rows, value) in changes.items():
        bars.loc[rows, column] = value
    return as_bars(bars, symbol=SYMBOL, timeframe="1h")


def test_equal_and_new_rows_are_not_said(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        assert store_bars(frame().iloc[:20].reset_index(drop=True), data_dir=tmp_path) == 0
        assert store_bars(frame(), data_dir=tmp_path) == 0
    assert not caplog.text


def test_other_values_are_counted_and_shown(tmp_path, caplog):
    store_bars(frame(), data_dir=tmp_path)
    other = frame(volume=([3, 4], 999.0), funding_rate=([16], -0.0002), open_interest=([7], 60.0))
    with caplog.at_level(logging.WARNING):
        assert store_bars(other.iloc[2:].reset_index(drop=True), data_dir=tmp_path) == 4
    assert (
        "2 of 28 stored 1h bars of BTC/USDT:USDT had other values, the first at 2024-01-01T03:00:00Z "
        "(volume 13, now 999); those of the file replace them. To have the exchange's again, delete "
        f"{tmp_path / 'bybit' / 'BTC_USDT-USDT' / '1h'} and download"
    ) in caplog.text
    assert "1 of 3 stored rows of funding of BTC/USDT:USDT had other values" in caplog.text
    assert "1 of 28 stored rows of open interest of BTC/USDT:USDT had other values" in caplog.text
    bars = read_series(tmp_path, SeriesKey("bybit", SYMBOL, "1h"), START, START + 30 * HOUR).columns
    assert bars["volume"].tolist() == other["volume"].tolist()
