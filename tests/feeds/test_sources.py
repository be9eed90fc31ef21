import datetime as dt
import subprocess
import sys
import types
from pathlib import Path

import pandas as pd
import pytest

import feeds
from feeds.bars.frame import as_bars
from feeds.errors import BadSource, BadTimeframe, BarGap, MissingData
from feeds.simulated.api import simulate
from feeds.sources import ExchangeSource, FileSource, SimulatedSource, load_bars, parse_source
from tests.feeds.bars.frames import HOUR, START, small_frame


def test_the_three_forms():
    assert parse_source("a/b.parquet") == FileSource(path=Path("a/b.parquet"))
    assert parse_source(Path("b.CSV")) == FileSource(path=Path("b.CSV"))
    assert parse_source("bybit:BTC/USDT:USDT@1h") == ExchangeSource(
        exchange="bybit", symbol="BTC/USDT:USDT", timeframe="1h"
    )
    assert parse_source("bybit:BTC/USDT", timeframe="4h").timeframe == "4h"
    assert parse_source("simulated:ar1?seed=2&phi=-0.2") == SimulatedSource(
        name="ar1", options={"seed": "2", "phi": "-0.2"}
    )
    assert parse_source("simulated:planted") == SimulatedSource(name="planted", options={})


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("", "expected a path ending in .parquet or .csv"),
        ("bars.xlsx", "expected a path ending in"),
        ("simulated:", "expected a path ending in"),
        ("bybt:BTC/USDT:USDT@1h", "unknown source 'bybt'; did you mean 'bybit'"),
        ("bybit:BTC/USDT:USDT", "did you mean 'bybit:BTC/USDT:USDT@1h'"),
        ("bybit:@1h", "expected 'bybit:SYMBOL@TIMEFRAME'"),
        ("simulated:plantd", "unknown simulated market 'plantd'; did you mean 'planted'"),
        ("simulated:ar1?bar=5", "no option 'bar'; did you mean 'bars'"),
        ("simulated:ar1?phy=0.5", "no option 'phy'; did you mean 'phi'"),
        ("simulated:ar1?phi=high", "expected a number for phi"),
        ("simulated:ar1?seed", "expected options such as"),
        ("simulated:ar1?seed=1&seed=2", "expected each option once"),
    ],
)
def test_sources_that_mean_nothing(source, says):
    with pytest.raises(BadSource, match=says):
        parse_source(source)


def test_timeframes_that_contradict_or_are_unknown():
    with pytest.raises(BadTimeframe, match="says timeframe '1h', the option says '4h'"):
        parse_source("bybit:BTC/USDT@1h", timeframe="4h")
    with pytest.raises(BadTimeframe, match="did you mean '1h'"):
        parse_source("bybit:BTC/USDT@60m")
    with pytest.raises(BadTimeframe, match="not supported"):
        parse_source("simulated:ar1?timeframe=1w")


def test_simulated_bars_are_those_of_simulate():
    bars = load_bars("simulated:ar1?seed=2&bars=60&phi=-0.2&timeframe=4h")
    pd.testing.assert_frame_equal(bars, simulate("ar1", seed=2, bars=60, phi=-0.2, timeframe="4h"))
    assert load_bars("simulated:ar1?bars=5", symbol="A", timeframe="1d").attrs["symbol"] == "A"
    assert load_bars("simulated:ar1?bars=5", timeframe="1d").attrs["timeframe"] == "1d"


RANGES = [
    ("2024-01-01T03:00", "2024-01-01T06:00Z", 0, [3, 4, 5]),
    (START + 3 * HOUR, START + 6 * HOUR, 2, [1, 2, 3, 4, 5]),
    (dt.datetime(2024, 1, 1, 3, tzinfo=dt.UTC), None, 9, list(range(10))),
    ("2024-01-01T03:00:01", "2024-01-01T05:00:01", 0, [4, 5]),
    (None, "2024-01-01T02:00", 5, [0, 1]),
    ("2023-06-01", None, 3, list(range(10))),
]


@pytest.mark.parametrize(("since", "until", "warmup", "hours"), RANGES)
def test_since_is_inclusive_until_exclusive_and_warmup_comes_before(tmp_path, since, until, warmup, hours):
    path = tmp_path / "X_1h.parquet"
    small_frame(10).to_parquet(path)
    bars = load_bars(path, since=since, until=until, warmup_bars=warmup)
    assert ((bars["timestamp"] - START) // HOUR).tolist() == hours
    assert bars.index.tolist() == list(range(len(hours)))
    assert bars.attrs == {"symbol": "X", "timeframe": "1h", "source": str(path)}


def test_an_empty_range_names_the_one_that_exists(tmp_path):
    path = tmp_path / "X_1h.parquet"
    small_frame(10).to_parquet(path)
    with pytest.raises(
        MissingData,
        match=r"no bar in \[2025-01-01T00:00:00Z, ..\); its 10 bars open from 2024-01-01.* to .*T09:00:00Z",
    ):
        load_bars(path, since="2025-01-01")
    with pytest.raises(MissingData, match=r"no bar in \[.., 2023-01-01T00:00:00Z\)"):
        load_bars(path, until="2023-01-01")
    with pytest.raises(BadSource, match="expected since < until"):
        load_bars(path, since="2024-01-02", until="2024-01-02")
    with pytest.raises(BadSource, match="expected warmup_bars >= 0"):
        load_bars(path, warmup_bars=-1)
    with pytest.raises(BadSource, match="unknown gap policy"):
        load_bars(path, gaps="drop")


def test_holes_matter_only_inside_the_range(tmp_path):
    path = tmp_path / "X_1h.parquet"
    small_frame(10).drop(index=4).to_parquet(path)
    with pytest.raises(BarGap):
        load_bars(path)
    assert len(load_bars(path, since="2024-01-01T05:00")) == 5
    with pytest.raises(BarGap):
        load_bars(path, since="2024-01-01T05:00", warmup_bars=2)
    assert len(load_bars(path, gaps="keep")) == 9
    filled = load_bars(path, gaps="ffill", since="2024-01-01T05:00", warmup_bars=1)
    assert filled["filled"].tolist() == [True] + [False] * 5


@pytest.fixture
def exchange(monkeypatch):
    """Replace the downloader; return the list of its calls."""
    calls = []

    def ensure(symbol, timeframe, since_ms, until_ms, **options):
        calls.append((symbol, timeframe, since_ms, until_ms, options))
        return as_bars(small_frame(10), timeframe=timeframe)

    module = types.ModuleType("feeds.download.api")
    module.ensure = ensure
    monkeypatch.setitem(sys.modules, "feeds.download.api", module)
    return calls


def test_an_exchange_source_asks_for_the_warmup_too(exchange, tmp_path):
    bars = load_bars(
        "bybit:BTC/USDT:USDT@1h",
        since="2024-01-01T05:00",
        until="2024-01-01T08:00",
        warmup_bars=2,
        data_dir=tmp_path,
        offline=True,
        base_url="http://127.0.0.1:1",
        progress=False,
    )
    assert exchange == [
        (
            "BTC/USDT:USDT",
            "1h",
            START + 5 * HOUR,
            START + 8 * HOUR,
            {
                "exchange": "bybit",
                "warmup_bars": 2,
                "mark": True,
                "data_dir": tmp_path,
                "offline": True,
                "base_url": "http://127.0.0.1:1",
                "progress": False,
            },
        )
    ]
    assert ((bars["timestamp"] - START) // HOUR).tolist() == [3, 4, 5, 6, 7]
    assert bars.attrs["symbol"] == "BTC/USDT:USDT"


def test_an_open_range_is_passed_on(exchange):
    assert len(load_bars("bybit:BTC/USDT:USDT@1h", warmup_bars=5)) == 10
    assert exchange[0][2:4] == (None, None)


def test_import_feeds_is_light():
    code = "import sys, feeds; print([m for m in ('ccxt', 'torch', 'backtrader') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_the_public_names():
    assert feeds.__all__ == sorted(feeds.__all__)
    assert all(getattr(feeds, name) is not None for name in feeds.__all__)
    with pytest.raises(AttributeError, match="no attribute 'BarData'"):
        feeds.BarData  # noqa: B018
