"""A file that was written while a bar was running holds a bar that is not one yet."""

import logging
import os

import pytest

from feeds import read_bars
from feeds.bars.sessions import closed
from feeds.bars.sessions.closed import close_of
from feeds.errors import BadBars
from feeds.store.importing import store_bars
from feeds.store.keys import SeriesKey
from feeds.store.series_store import read_series
from runs.data import import_bars
from tests.feeds.bars.frames import HOUR, START, small_frame
from tests.stocks import utc

END = START + 5 * HOUR  # of the last bar
SYMBOL = "BTC/USDT:USDT"


@pytest.fixture
def file(tmp_path, monkeypatch):
    """Return a function that writes five hourly bars at one moment, to be read at another."""

    def write(written, now, bars=5, name="x_1h.csv"):
        path = tmp_path / name
        small_frame(bars).to_csv(path, index=False)
        os.utime(path, ns=(written * 10**6, written * 10**6))
        monkeypatch.setattr(closed, "wall_ms", lambda: now)
        return path

    return write


@pytest.mark.parametrize(
    ("written", "now", "said"),
    [
        (END - 1, END - 1, "had not closed now"),
        (END - HOUR, END - HOUR, "had not closed now"),
        (END - 1, END + 1000 * HOUR, "had not closed when the file was written, at 2024-01-01T04:59:59.999Z"),
        (END, END, None),
        (END + HOUR, END + HOUR, None),
        (1000, END, None),  # a file without a time, as in archives that are the same on every machine
    ],
)
def test_a_last_bar_that_had_not_closed_is_left_out(file, caplog, written, now, said):
    path = file(written, now)
    with caplog.at_level(logging.WARNING):
        bars = read_bars(path)
    assert bars["timestamp"].tolist() == [START + k * HOUR for k in range(5 if said is None else 4)]
    assert (bars.attrs["symbol"], bars.attrs["timeframe"]) == ("x", "1h")
    if said is None:
        assert not caplog.text
    else:
        assert f"the last bar opens at 2024-01-01T04:00:00Z and {said}; it is left out" in caplog.text


def test_it_is_not_stored_and_a_later_download_asks_for_it(file, tmp_path):
    path = file(END - 1, END - 1)
    done = import_bars(path, symbol=SYMBOL, timeframe="1h", data_dir=tmp_path)
    assert done["rows"] == 4
    stored = read_series(tmp_path, SeriesKey("bybit", SYMBOL, "1h"), START, END)
    assert (len(stored.columns["timestamp"]), stored.covered) == (4, [(START, END - HOUR)])


def test_the_only_bar_of_a_file_is_an_error(file):
    with pytest.raises(BadBars, match="had not closed now; there is no other"):
        read_bars(file(START, START + 1, bars=1), timeframe="1h")


def test_bars_of_the_future_are_said_and_never_stored(file, tmp_path, caplog):
    """Times that are read in the wrong zone can lie in the future; stored, no download would ask for them."""
    path = file(END, START + 2 * HOUR + 1)
    with caplog.at_level(logging.WARNING):
        bars = read_bars(path)
    assert len(bars) == 5
    assert "2 bar(s) open after 2024-01-01T02:00:00.001Z, the present time of this machine" in caplog.text
    with pytest.raises(
        BadBars, match=r"row 3, column 'timestamp': 2 bar\(s\) open after .* of another zone\?"
    ):
        store_bars(bars, data_dir=tmp_path)
    assert not (tmp_path / "bybit").exists()


@pytest.mark.parametrize(
    ("start", "timeframe", "close"),
    [
        ("2024-07-02T13:30", "1h", "2024-07-02T14:30"),
        ("2024-07-02T19:30", "1h", "2024-07-02T20:00"),  # 15:30 to 16:00 in New York
        ("2024-07-03T16:30", "1h", "2024-07-03T17:00"),  # half a day
        ("2024-07-02T00:00", "1d", "2024-07-02T20:00"),
    ],
)
def test_a_session_ends_its_last_bar(start, timeframe, close):
    assert close_of(utc(start), timeframe, "XNYS") == utc(close)
    assert close_of(utc(start), timeframe, None) == utc(start) + (HOUR if timeframe == "1h" else 24 * HOUR)
