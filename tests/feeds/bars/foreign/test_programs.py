"""Files as other programs write them: the bars are those that a person reads in them."""

import gzip
import io
import zipfile

import numpy as np
import pandas as pd
import pytest

from feeds.bars.files import read_bars
from feeds.bars.foreign import Hints
from feeds.errors import BadBars
from tests.feeds.bars.frames import HOUR, START

# Three hours of 2024-01-01, newest last: open, high, low, close, volume.
BARS = [
    (42000.5, 42100.0, 41900.25, 42050.0, 10.5),
    (42050, 42200, 42000, 42150, 8),
    (42150, 42160, 41000, 41500, 99),
]
SECONDS = [START // 1000 + 3600 * k for k in range(3)]
CANDLES = [(s, *bar) for s, bar in zip(SECONDS, BARS, strict=True)]


def lines(rows, header=None, separator=","):
    text = [] if header is None else [header]
    return "\n".join(text + [separator.join(map(str, row)) for row in rows]) + "\n"


BINANCE = [(s * 1000, *bar, s * 1000 + HOUR - 1, 441000.5, 120, 5.25, 220500.1, 0) for s, *bar in CANDLES]
BINANCE_US = [
    (s * 1_000_000, *row[1:6], row[6] * 1000 + 999, *row[7:])
    for (s, *_), row in zip(CANDLES, BINANCE, strict=True)
]
BINANCE_NAMES = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,"
    "taker_buy_quote_volume,ignore"
)
ISO = ["2024-01-01T00:00:00", "2024-01-01T01:00:00", "2024-01-01T02:00:00"]

TEXTS = {
    "binance without header": ("BTCUSDT-1h-2024-01.csv", lines(BINANCE)),
    "binance, microseconds": ("BTCUSDT-1h-2025-01.csv", lines(BINANCE_US)),
    "binance futures": ("BTCUSDT-1h-2024-01-01.csv", lines(BINANCE, BINANCE_NAMES)),
    "kraken": ("XBTUSD_60.csv", lines([(*row, 55) for row in CANDLES])),
    "ccxt rows": ("bars.csv", lines([(s * 1000, *bar) for s, *bar in CANDLES])),
    "cryptodatadownload, newest first": (
        "Binance_BTCUSDT_1h.csv",
        "https://www.CryptoDataDownload.com\n"
        + lines(
            [
                (s, iso.replace("T", " "), "BTCUSDT", *bar, 4e5, 7)
                for (s, *bar), iso in zip(CANDLES, ISO, strict=True)
            ][::-1],
            "Unix,Date,Symbol,Open,High,Low,Close,Volume BTC,Volume USDT,tradecount",
        ),
    ),
    "tradingview, seconds": (
        "BINANCE_BTCUSDT, 60.csv",
        lines([(*row, 3) for row in CANDLES], "time,open,high,low,close,Volume,Volume MA"),
    ),
    "tradingview, iso": (
        "tv.csv",
        lines(
            [(iso + "Z", *bar) for iso, bar in zip(ISO, BARS, strict=True)], "time,open,high,low,close,Volume"
        ),
    ),
    "capitals, spaces and a byte order mark": (
        "x.csv",
        "\ufeff"
        + lines(
            [(iso + "+00:00", *bar) for iso, bar in zip(ISO, BARS, strict=True)],
            "Date, Open, HIGH, Low , Close, Volume",
        ),
    ),
    "semicolons and decimal commas": (
        "x.csv",
        lines(
            [(s, *(f"{x:,.2f}".translate(str.maketrans(",.", ".,")) for x in bar)) for s, *bar in CANDLES],
            "Unix;Open;High;Low;Close;Volume",
            ";",
        ),
    ),
    "thousands separators in quotes": (
        "x.csv",
        lines([(s, *(f'"{x:,.2f}"' for x in bar)) for s, *bar in CANDLES], "Time,Open,High,Low,Close,Vol"),
    ),
    "tabs": ("x.tsv", lines(CANDLES, "time\topen\thigh\tlow\tclose\tvolume", "\t")),
    "angle brackets": ("x.txt", lines(CANDLES, "<TIMESTAMP>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>")),
    "numbered names, other order": (
        "x.csv",
        lines(
            [(s, v, c, o, h, low) for s, o, h, low, c, v in CANDLES],
            "timestamp,5. volume,4. close,1. open,2. high,3. low",
        ),
    ),
}


def the_bars(frame):
    assert frame["timestamp"].tolist() == [s * 1000 for s in SECONDS]
    assert frame[["open", "high", "low", "close", "volume"]].to_numpy().tolist() == [
        list(map(float, b)) for b in BARS
    ]
    assert frame.attrs["timeframe"] == "1h"
    return True


@pytest.mark.parametrize("program", TEXTS)
@pytest.mark.parametrize("packed", ["", ".gz", ".zip"])
def test_text_of_a_program(tmp_path, program, packed):
    name, text = TEXTS[program]
    path = tmp_path / f"{name}{packed}"
    if packed == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(name, text)
    else:
        path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    assert the_bars(read_bars(path))


@pytest.mark.parametrize("compression", ["lz4", "zstd", "uncompressed"])
def test_freqtrade_feather(tmp_path, compression):
    frame = pd.DataFrame(BARS, columns=["open", "high", "low", "close", "volume"])
    frame.insert(0, "date", pd.to_datetime(SECONDS, unit="s", utc=True).astype("datetime64[ms, UTC]"))
    path = tmp_path / "BTC_USDT-1h.feather"
    frame.to_feather(path, compression=compression)
    bars = read_bars(path)
    assert the_bars(bars)
    assert bars.attrs["symbol"] == "BTC_USDT"


@pytest.mark.parametrize("unit", [1, 1000, 1_000_000, 1_000_000_000])
def test_parquet_of_seconds_to_nanoseconds(tmp_path, unit):
    frame = pd.DataFrame(BARS, columns=["Open", "High", "Low", "Close", "Volume"])
    frame["Time"] = np.array(SECONDS, dtype=np.int64) * unit
    path = tmp_path / "X_1h.parquet"
    frame.to_parquet(path)
    assert the_bars(read_bars(path))


YAHOO = lines(
    [("2024-01-02", *BARS[0][:4], 41000.1, 900), ("2024-01-03", *BARS[1][:4], 41000.2, 800)],
    "Date,Open,High,Low,Close,Adj Close,Volume",
)
YFINANCE = "Price,Close,High,Low,Open,Volume\nTicker,AAPL,AAPL,AAPL,AAPL,AAPL\nDate,,,,,\n" + lines(
    [("2024-01-02", b[3], b[1], b[2], b[0], 900) for b in BARS[:1]]
    + [("2024-01-03", b[3], b[1], b[2], b[0], 800) for b in BARS[1:2]]
)


@pytest.mark.parametrize("text", [YAHOO, YFINANCE])
def test_yahoo_takes_the_close_that_was_traded_and_the_date_as_the_day(tmp_path, text):
    (tmp_path / "AAPL_1d.csv").write_text(text)
    bars = read_bars(tmp_path / "AAPL_1d.csv")
    assert bars["timestamp"].tolist() == [START + 24 * HOUR, START + 48 * HOUR]
    assert bars["close"].tolist() == [42050.0, 42150.0]
    assert bars["volume"].tolist() == [900.0, 800.0]
    assert "times are dates" in bars.attrs["read_as"]


def test_trading_days_at_local_midnight_need_a_word(tmp_path):
    path = tmp_path / "AAPL_1d.csv"
    rows = [(f"2024-01-0{k} 00:00:00-05:00", *BARS[0]) for k in (2, 3)]
    path.write_text(lines(rows, "Date,Open,High,Low,Close,Volume"))
    with pytest.raises(BadBars, match=r"--timeframe 1d --dates days"):
        read_bars(path)
    assert read_bars(path, hints=Hints(dates="days"))["timestamp"].tolist() == [
        START + 24 * HOUR,
        START + 48 * HOUR,
    ]
    frame = pd.read_csv(path)
    frame["Date"] = pd.to_datetime(frame["Date"]).dt.tz_convert("America/New_York")
    frame.set_index("Date").to_parquet(path.with_suffix(".parquet"))
    with pytest.raises(BadBars, match=r"midnight there"):
        read_bars(path.with_suffix(".parquet"))
    assert len(read_bars(path.with_suffix(".parquet"), hints=Hints(dates="days"))) == 2


def test_volume_is_that_of_the_coin_that_is_traded(tmp_path):
    path = tmp_path / "ETHBTC_1h.csv"
    rows = [(s, *bar, bar[-1] * 7) for s, *bar in CANDLES]
    path.write_text(lines(rows, "unix,open,high,low,close,Volume BTC,Volume ETH"))
    assert read_bars(path, symbol="ETH/BTC")["volume"].tolist() == [73.5, 56.0, 693.0]
    assert read_bars(path)["volume"].tolist() == [73.5, 56.0, 693.0]
    with pytest.raises(BadBars, match="'Volume BTC' and 'Volume ETH' may be counted in another"):
        read_bars(path, symbol="SOL/USDT")


def test_a_file_that_a_person_names_the_columns_of(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text(lines([(s, *bar) for s, *bar in CANDLES], "when,a,b,c,d,e"))
    names = {"timestamp": "when", "open": "a", "high": "b", "low": "c", "close": "d", "volume": "e"}
    assert the_bars(read_bars(path, hints=Hints(columns=names)))
    path.write_text(lines([(1, *row) for row in CANDLES] + [], None) + "")
    numbers = {"timestamp": "2", "open": "3", "high": "4", "low": "5", "close": "6", "volume": "7"}
    assert the_bars(read_bars(path, hints=Hints(columns=numbers)))


def test_the_reading_is_told_where_it_is_not_the_contract(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text(TEXTS["cryptodatadownload, newest first"][1])
    said = read_bars(path).attrs["read_as"]
    assert said.startswith("timestamp from 'Unix', open from 'Open'")
    assert "volume from 'Volume BTC'" in said
    assert said.endswith("times are seconds since 1970; newest bar first")
    plain = pd.DataFrame(BARS, columns=["open", "high", "low", "close", "volume"])
    plain.insert(0, "timestamp", np.array(SECONDS) * 1000)
    buffer = io.StringIO()
    plain.to_csv(buffer, index=False)
    path.write_text(buffer.getvalue())
    assert "read_as" not in read_bars(path).attrs
