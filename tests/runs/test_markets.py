"""Bars are loaded as the command named them, with warm-up bars, and described by their hash."""

import numpy as np
import pytest

from feeds import BadSource, MissingData, load_bars, simulate, write_bars
from feeds.bars.frame import data_hash
from runs.markets import LoadOptions, as_market, describe, load_markets
from scorenet.base.times import iso

SOURCE = "simulated:planted?seed=1&bars=500"
QUIET = LoadOptions(progress=False)


def test_the_range_is_cut_and_the_warm_up_comes_before_it():
    options = LoadOptions(since="2020-01-05", until="2020-01-07", progress=False)
    (frame,) = load_markets([SOURCE], options, warmup_bars=21)
    assert len(frame) == 21 + 48
    assert iso(int(frame["timestamp"].iloc[21])) == "2020-01-05T00:00:00Z"
    assert iso(int(frame["timestamp"].iloc[-1])) == "2020-01-06T23:00:00Z"


def test_several_sources_come_in_their_order():
    frames = load_markets([SOURCE, "simulated:regimes?seed=2&bars=300"], QUIET)
    assert [frame.attrs["symbol"] for frame in frames] == ["planted-1", "regimes-2"]
    assert [len(frame) for frame in frames] == [500, 300]


def test_one_symbol_twice_is_refused():
    with pytest.raises(BadSource, match="each symbol once, found planted-1, planted-1"):
        load_markets([SOURCE, SOURCE], QUIET)


def test_bars_of_two_sizes_are_refused():
    with pytest.raises(BadSource, match="bars of one size, found 1h, 4h"):
        load_markets([SOURCE, "simulated:planted?seed=2&bars=50&timeframe=4h"], QUIET)


def test_a_range_without_bars_is_missing_data():
    with pytest.raises(MissingData, match="has no bar in"):
        load_markets([SOURCE], LoadOptions(since="2031-01-01", progress=False))


@pytest.mark.parametrize(("gaps", "rows"), [("keep", 48), ("ffill", 50)])
def test_the_gap_policy_is_passed_on(tmp_path, gaps, rows):
    frame = simulate("planted", bars=50).drop(index=[10, 11]).reset_index(drop=True)
    frame.attrs = {"symbol": "X", "timeframe": "1h", "source": ""}
    write_bars(frame, tmp_path / "X_1h.parquet")
    (loaded,) = load_markets([str(tmp_path / "X_1h.parquet")], LoadOptions(gaps=gaps, progress=False))
    assert len(loaded) == rows


def test_scorenet_gets_the_columns_and_the_bar_size():
    frame = load_bars(SOURCE)
    market = as_market(frame)
    assert (market.symbol, market.step_ms) == ("planted-1", 3_600_000)
    assert set(market.bars) == {
        "timestamp", "open", "high", "low", "close", "volume", "funding_rate", "open_interest",
    }  # fmt: skip
    assert market.bars["timestamp"].dtype == np.int64
    np.testing.assert_array_equal(market.bars["close"], frame["close"])


def test_the_manifest_says_what_the_bars_were():
    frame = load_bars(SOURCE)
    assert describe(frame, SOURCE) == {
        "source": SOURCE,
        "symbol": "planted-1",
        "timeframe": "1h",
        "rows": 500,
        "start": "2020-01-01T00:00:00Z",
        "end": "2020-01-21T19:00:00Z",
        "columns": ["open", "high", "low", "close", "volume", "funding_rate", "open_interest"],
        "sha256": data_hash(frame),
    }
