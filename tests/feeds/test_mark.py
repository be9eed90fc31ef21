"""Mark prices from files, the store and the exchange to the account; bars without them stay as they are."""

from __future__ import annotations

import backtrader as bt
import pandas as pd
import pytest

from feeds import BarsData, as_bars, join_mark, load_bars, read_bars, resample, write_bars
from feeds.btdata import MarkedBarsData, MarkedReplayData, ReplayData
from feeds.download.api import fetch
from feeds.errors import BadBars, MissingData
from feeds.store.importing import store_bars
from strategies.account.broker import PerpetualBroker
from strategies.account.costs import Costs
from tests.bybit import HOUR, LoopbackBybit
from tests.bybit.fixtures import NOW
from tests.strategies.market import Script, frame_of, trade

MARKS = ("mark_open", "mark_high", "mark_low", "mark_close")
SYMBOL = "BTC/USDT:USDT"


def marked(prices, marks):
    """Return canonical bars of (open, high, low, close) or one price, with their mark prices."""
    frame = frame_of(prices)
    frame[list(MARKS)] = [mark if isinstance(mark, tuple) else (mark,) * 4 for mark in marks]
    return as_bars(frame, symbol=SYMBOL, timeframe="1h")


def beside(frame):
    """Return the mark prices of a frame as bars of their own."""
    return frame[["timestamp", *MARKS]].rename(columns=lambda name: name.removeprefix("mark_"))


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("mark_low", float("nan"), "row 1 .*'mark_low': expected a number"),
        ("mark_close", -1.0, "'mark_close': expected a price > 0"),
        ("mark_high", 90.0, "'mark_high': expected high >= low, found 90.0 .mark_open 100.0, mark_high 90.0"),
        ("mark_open", 130.0, "'mark_open': expected a price between low and high"),
    ],
)
def test_a_bad_mark_price_is_refused_with_its_cell(column, value, words):
    frame = marked([100] * 3, [100] * 3)
    frame.loc[1, column] = value
    with pytest.raises(BadBars, match=words):
        as_bars(frame)


def test_all_four_or_none():
    with pytest.raises(BadBars, match="expected a column 'mark_low'"):
        as_bars(marked([100] * 3, [100] * 3).drop(columns="mark_low"))


def test_a_longer_bar_and_an_added_bar_have_the_mark_prices_of_theirs():
    bars = marked([100] * 4, [(100, 104, 99, 101), (101, 102, 97, 98), (98, 99, 96, 97), (97, 120, 97, 110)])
    assert resample(bars, "2h")[list(MARKS)].to_numpy().tolist() == [[100, 104, 97, 98], [98, 120, 96, 110]]
    filled = as_bars(bars.drop(index=1).reset_index(drop=True), gaps="ffill")
    assert filled.loc[1, list(MARKS)].tolist() == [101] * 4


@pytest.mark.parametrize("extension", ["parquet", "csv"])
def test_a_file_keeps_them_and_a_file_beside_it_is_joined(tmp_path, extension):
    bars = marked([100] * 3, [101, 102, 103])
    write_bars(bars, tmp_path / f"whole_1h.{extension}")
    pd.testing.assert_frame_equal(read_bars(tmp_path / f"whole_1h.{extension}"), bars, check_exact=True)
    write_bars(bars.drop(columns=list(MARKS)), tmp_path / f"X_1h.{extension}")
    assert "mark_open" not in read_bars(tmp_path / f"X_1h.{extension}")
    beside(bars).iloc[1:].to_parquet(tmp_path / "X_mark_1h.parquet")
    with pytest.raises(
        MissingData, match=r"X_mark_1h.parquet: no mark price for 1 of 3 bars, the first at 2023-11-15"
    ):
        read_bars(tmp_path / f"X_1h.{extension}")
    joined = load_bars(tmp_path / f"X_1h.{extension}", since="2023-11-15T01:00")
    assert joined["mark_close"].tolist() == [102.0, 103.0]
    beside(bars).assign(high=1.0).to_parquet(tmp_path / "X_mark_1h.parquet")
    with pytest.raises(BadBars, match=r"X_mark_1h.parquet: .*'high': expected high >= low"):
        read_bars(tmp_path / f"X_1h.{extension}")


def test_the_store_keeps_imported_mark_prices(tmp_path):
    bars = marked([100] * 3, [101, 102, 103])
    store_bars(bars, data_dir=tmp_path)
    again = load_bars(f"bybit:{SYMBOL}@1h", data_dir=tmp_path, offline=True)
    assert again[list(MARKS)].equals(bars[list(MARKS)])


def test_fetched_mark_prices_are_used_and_completed_and_bars_without_stay_the_same(
    bybit: LoopbackBybit, tmp_path
):
    end = NOW // HOUR * HOUR
    options = {"data_dir": tmp_path, "base_url": bybit.url, "progress": False}
    source = f"bybit:{SYMBOL}@1h"
    plain = load_bars(source, since=end - 30 * HOUR, until=end, **options)
    assert "mark_open" not in plain
    fetch([SYMBOL], since=end - 20 * HOUR, until=end, mark=True, **options)
    with pytest.raises(MissingData, match=r"mark of BTC/USDT:USDT .* are not stored .*--mark"):
        load_bars(source, since=end - 30 * HOUR, until=end, offline=True, **options)
    bars = load_bars(source, since=end - 30 * HOUR, until=end, **options)
    pd.testing.assert_frame_equal(bars[plain.columns], plain)
    assert bars["mark_close"].gt(0).all()
    assert not bars["mark_close"].equals(bars["close"])


MODES = [{}, {"runonce": False}, {"preload": False}, {"exactbars": 1}, {"live": True}]


def equities(frame, modes):
    """Return the equity at each close of 1,000 units bought at the second open, at 10x with 5 % of maintenance."""

    class Watch(Script):
        def next(self):
            super().next()
            self.seen = [*getattr(self, "seen", []), self.broker.getvalue()]

    more = dict(modes)
    feed = ReplayData if more.pop("live", False) else BarsData
    cerebro = bt.Cerebro(stdstats=False, **more)
    cerebro.adddata(feed(dataname=frame))
    costs = Costs(taker=0.0, slippage=0.0, lot_step=0.0, maintenance_margin=0.05)
    cerebro.setbroker(PerpetualBroker(cash=10_000.0, costs=costs))
    cerebro.addstrategy(Watch, orders={0: [trade(1_000)]})
    return cerebro.run()[0].seen


@pytest.mark.parametrize("modes", MODES, ids=str)
def test_an_account_is_valued_and_liquidated_at_the_mark_price(modes):
    # Bought 1,000 at 100. A trade at 80 does not liquidate while the mark price stays above 95.3; it closes at 98.
    wick = [100, 100, (100, 100, 80, 99), 99]
    assert equities(marked(wick, [100, 100, (100, 100, 97, 98), 98]), modes)[2] == 10_000 - 1_000 * 2.0
    assert equities(marked([100] * 4, [100, 100, (100, 100, 80, 98), 98]), modes)[-1] == 0.0
    plain = marked([100] * 4, [1] * 4).drop(columns=list(MARKS))
    assert equities(plain, modes) == [10_000.0] * 4


def test_a_feed_has_lines_for_them_only_if_its_frame_has_them():
    frame = marked([100] * 3, [100] * 3)
    assert type(BarsData(dataname=frame)) is MarkedBarsData
    assert type(ReplayData(dataname=frame)) is MarkedReplayData
    assert type(BarsData(dataname=frame.drop(columns=list(MARKS)))) is BarsData

    class Own(BarsData):
        pass

    with pytest.raises(BadBars, match="Own has no lines for the mark price"):
        Own(dataname=frame)


def test_backtraders_own_resampling_is_refused():
    cerebro = bt.Cerebro(stdstats=False)
    data = BarsData(dataname=marked([100] * 8, [100] * 8))
    cerebro.resampledata(data, timeframe=bt.TimeFrame.Minutes, compression=240)
    cerebro.addstrategy(bt.Strategy)
    with pytest.raises(BadBars, match=r"feeds\.resample"):
        cerebro.run()


def test_a_join_never_takes_another_bars_price():
    bars = marked([100] * 3, [101, 102, 103])
    plain = bars.drop(columns=list(MARKS))
    assert join_mark(plain, beside(bars)).equals(bars)
    assert join_mark(plain, beside(bars).iloc[[0, 2]])["mark_close"].isna().tolist() == [False, True, False]
