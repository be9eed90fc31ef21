import itertools
import pickle

import backtrader as bt
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feeds import BarsData, ReplayData, as_bars, resample, simulate
from feeds.bars.timeframes import TIMEFRAMES, to_ms
from feeds.btdata import columns_of
from feeds.errors import BadBars, BadTimeframe, BarGap
from tests.feeds.bars.frames import HOUR, START, small_frame

LINES = (
    "datetime",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "openinterest",
    "funding_rate",
    "open_interest",
)
MODES = [
    {"preload": preload, "runonce": runonce, "exactbars": exactbars}
    for preload, runonce, exactbars in itertools.product([True, False], [True, False], [0, 1, -1])
]


class Record(bt.Analyzer):
    """Record every line of every data, and a moving average, at every call of the strategy."""

    def start(self):
        self.rows = []
        self.averages = []

    def prenext(self):
        self.next()

    def next(self):
        self.rows.append(
            [
                (len(data), *(getattr(data, name)[0] for name in LINES if hasattr(data, name)))
                for data in self.strategy.datas
                if len(data)
            ]
        )

    def stop(self):
        self.averages = vars(self.strategy).get("averages", [])

    def get_analysis(self):
        return {"rows": self.rows, "averages": self.averages}


class Averages(bt.Strategy):
    params = (("period", 3),)

    def __init__(self):
        self.average = bt.indicators.SimpleMovingAverage(self.data.close, period=self.p.period)
        self.averages = []

    def next(self):
        self.averages.append(self.average[0])


def cerebro_of(*datas):
    cerebro = bt.Cerebro(stdstats=False)
    for data in datas:
        cerebro.adddata(data)
    cerebro.addanalyzer(Record, _name="record")
    return cerebro


def run(*datas, period=3, **mode):
    cerebro = cerebro_of(*datas)
    cerebro.addstrategy(Averages, period=period)
    return cerebro.run(**mode)[0].analyzers.record.get_analysis()


def expected_rows(frame):
    """Return the expected lines, computed without the feed: times are closes, absent columns are 0.0."""
    step = to_ms(frame.attrs["timeframe"])
    zeros = np.zeros(len(frame))
    interest = frame.get("open_interest", pd.Series(zeros))
    stamps = [
        bt.date2num(pd.Timestamp(time + step, unit="ms").to_pydatetime())
        for time in frame["timestamp"].tolist()
    ]
    columns = [frame[name] for name in ("open", "high", "low", "close", "volume")]
    columns += [interest, frame.get("funding_rate", pd.Series(zeros)), interest]
    return [[(k + 1, *row)] for k, row in enumerate(zip(stamps, *columns, strict=True))]


@pytest.fixture(scope="module")
def market():
    return simulate("regimes", bars=80)


@pytest.fixture(scope="module")
def other():
    return simulate("planted", seed=2, bars=120, start="2020-01-02T02:00")


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_every_mode_delivers_the_frame(market, mode):
    found = run(BarsData(dataname=market), **mode)
    assert found["rows"] == expected_rows(market)
    closes = market["close"].to_numpy()
    np.testing.assert_allclose(found["averages"], [closes[k - 2 : k + 1].mean() for k in range(2, 80)])


def test_a_frame_without_extras_has_zeros():
    frame = as_bars(small_frame(), symbol="X")
    assert run(BarsData(dataname=frame))["rows"] == expected_rows(frame)


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_replay_is_the_same_bar_by_bar(market, mode):
    assert run(ReplayData(dataname=market), **mode) == run(BarsData(dataname=market))


def test_replay_takes_the_live_path(market):
    cerebro = cerebro_of(ReplayData(dataname=market))
    cerebro.run()
    assert not cerebro._dopreload
    assert not cerebro._dorunonce


@pytest.mark.parametrize("timeframe", TIMEFRAMES)
def test_stamps_are_the_exact_close_for_every_bar_size(timeframe):
    step = to_ms(timeframe)
    frame = as_bars(small_frame(50, start=START + 37 * 86_400_000, step=step))

    class Stamps(bt.Strategy):
        def __init__(self):
            self.found = []

        def next(self):
            self.found.append(
                (bt.num2date(self.data.datetime[0]), self.data.close_ms(), self.data.close_ms(-1))
            )

    cerebro = cerebro_of(BarsData(dataname=frame))
    cerebro.addstrategy(Stamps)
    stamps = cerebro.run()[0].found
    closes = (frame["timestamp"] + step).tolist()
    assert [moment for moment, _, _ in stamps] == [pd.Timestamp(c, unit="ms").to_pydatetime() for c in closes]
    assert [close for _, close, _ in stamps] == closes
    assert [close for _, _, close in stamps][1:] == closes[:-1]
    data = cerebro.datas[0]
    assert data.bar_ms == step
    assert (data.p.timeframe, data.p.compression) == (data._timeframe, data._compression)


@given(st.lists(st.integers(2_000_000, 160_000_000), min_size=1, max_size=50))
@settings(max_examples=50, deadline=None)
def test_stamps_are_bit_equal_to_backtraders_own(minutes):
    times = np.array(sorted(set(minutes)), dtype=np.int64) * 60_000
    frame = pd.DataFrame(
        {"timestamp": times, **dict.fromkeys(("open", "high", "low", "close", "volume"), 1.0)}
    )
    frame.attrs = {"timeframe": "1m"}
    own = [bt.date2num(pd.Timestamp(int(time) + 60_000, unit="ms").to_pydatetime()) for time in times]
    assert columns_of(frame)["datetime"].tolist() == own


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_many_datas_of_different_spans_with_a_hole(market, other, mode):
    holed = as_bars(other.drop(index=range(20, 30)), gaps="keep")
    found = run(BarsData(dataname=market), BarsData(dataname=holed), **mode)
    assert found == run(BarsData(dataname=market), BarsData(dataname=holed))
    for position, frame in enumerate((market, holed)):
        rows = expected_rows(frame)
        seen = [row[position] for row in found["rows"] if len(row) > position]
        assert [row for row, _ in itertools.groupby(seen)] == [row[0] for row in rows]


@pytest.mark.parametrize("mode", MODES, ids=str)
@pytest.mark.parametrize("feed", [BarsData, ReplayData])
def test_a_feed_cut_short_delivers_the_same_first_bars(market, mode, feed):
    whole = run(feed(dataname=market), **mode)
    part = run(feed(dataname=market.iloc[:41]), **mode)
    assert part["rows"] == whole["rows"][:41]
    assert part["averages"] == whole["averages"][:39]


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_fromdate_and_todate_judge_the_close(market, mode):
    first, last = (
        pd.Timestamp(int(market["timestamp"].iloc[k]) + HOUR, unit="ms").to_pydatetime() for k in (10, 19)
    )
    rows = run(BarsData(dataname=market, fromdate=first, todate=last), **mode)["rows"]
    assert [row[0][1:] for row in rows] == [row[0][1:] for row in expected_rows(market)[10:20]]


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_one_cerebro_runs_twice(market, mode):
    cerebro = cerebro_of(BarsData(dataname=market))
    cerebro.addstrategy(Averages)
    first, second = (cerebro.run(**mode)[0].analyzers.record.get_analysis() for _ in range(2))
    assert first == second
    assert first["rows"] == expected_rows(market)


@pytest.mark.parametrize("mode", [{}, {"optdatas": False}, {"runonce": False}, {"preload": False}], ids=str)
def test_optstrategy_in_processes(market, mode):
    cerebro = cerebro_of(BarsData(dataname=market))
    cerebro.optstrategy(Averages, period=[3, 5])
    found = [result[0].analyzers.record.get_analysis() for result in cerebro.run(maxcpus=2, **mode)]
    assert found == [run(BarsData(dataname=market), period=period) for period in (3, 5)]


def test_a_feed_survives_pickling(market):
    data = pickle.loads(pickle.dumps(BarsData(dataname=market)))  # noqa: S301 - our own bytes
    assert run(data) == run(BarsData(dataname=market))


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_backtraders_resampling_works_and_equals_ours(market, mode):
    cerebro = bt.Cerebro(stdstats=False)
    data = cerebro.resampledata(BarsData(dataname=market), timeframe=bt.TimeFrame.Minutes, compression=240)
    cerebro.addanalyzer(Record, _name="record")
    cerebro.addstrategy(Averages)
    rows = cerebro.run(**mode)[0].analyzers.record.get_analysis()["rows"]
    ours = expected_rows(resample(market, "4h"))
    # Sums of volume may differ in the last digit.
    np.testing.assert_allclose([row[0][:7] for row in rows], [row[0][:7] for row in ours], rtol=1e-12)
    assert [row[0][:6] for row in rows] == [row[0][:6] for row in ours]
    assert {row[0][8:] for row in rows} == {(0.0, 0.0)}
    assert data.bar_ms == 4 * HOUR


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_base_bars_beside_resampled_and_replayed_ones(market, mode):
    cerebro = cerebro_of(BarsData(dataname=market))
    cerebro.resampledata(cerebro.datas[0], timeframe=bt.TimeFrame.Minutes, compression=240)
    cerebro.replaydata(BarsData(dataname=market), timeframe=bt.TimeFrame.Minutes, compression=240)
    cerebro.addstrategy(Averages)
    rows = cerebro.run(**mode)[0].analyzers.record.get_analysis()["rows"]
    assert [row for row, _ in itertools.groupby(row[0] for row in rows)] == [
        row[0] for row in expected_rows(market)
    ]
    assert rows[-1][1][:6] == expected_rows(resample(market, "4h"))[-1][0][:6]
    assert rows[-1][2][5] == market["close"].iloc[-1]


@pytest.mark.parametrize("mode", MODES[:4], ids=str)
def test_a_filter_sees_every_bar(market, mode):
    seen = []
    data = BarsData(dataname=market)
    data.addfilter(lambda feed: seen.append(feed.close[0]) or False)
    assert run(data, **mode)["rows"] == expected_rows(market)
    assert seen == market["close"].tolist()


def test_room_beyond_the_last_bar(market):
    assert run(BarsData(dataname=market), lookahead=5)["rows"] == expected_rows(market)
    cerebro = cerebro_of(BarsData(dataname=market))
    cerebro.run(lookahead=5)
    assert len(cerebro.datas[0].close.array) == len(market) + 5
    assert cerebro.datas[0].buflen() == len(market)


def test_a_subclass_may_add_lines(market):
    class Marked(BarsData):
        lines = ("mark",)

    data = Marked(dataname=market)
    assert run(data)["rows"] == expected_rows(market)
    assert len(data.lines.mark.array) == len(market)
    assert np.isnan(data.lines.mark.array).all()


def test_names_and_sizes(market):
    assert BarsData(dataname=market)._name == "regimes-1"
    named = BarsData(dataname=market, symbol="BTC/USDT:USDT")
    assert (named._name, named.p.symbol) == ("BTC/USDT:USDT", "BTC/USDT:USDT")
    assert BarsData(dataname=market, timeframe=bt.TimeFrame.Minutes, compression=60).bar_ms == HOUR
    assert BarsData(dataname=small_frame(), timeframe="1h").bar_ms == HOUR
    with pytest.raises(BadTimeframe, match="these are 1h bars; leave timeframe and compression out"):
        BarsData(dataname=market, timeframe=bt.TimeFrame.Days)
    with pytest.raises(BadBars, match="not on the 4h grid"):
        BarsData(dataname=market, timeframe="4h")


def test_bad_bars_never_reach_backtrader(market):
    with pytest.raises(BadBars, match="expected a pandas DataFrame of bars, found NoneType"):
        BarsData()
    broken = market.copy()
    broken.loc[7, "close"] = np.nan
    with pytest.raises(BadBars, match=r"row 7 .*column 'close'"):
        BarsData(dataname=broken)


def test_holes_need_a_declared_policy():
    raw = small_frame(8).drop(index=4)
    with pytest.raises(BarGap):
        BarsData(dataname=raw)
    assert len(run(BarsData(dataname=raw, gaps="keep"))["rows"]) == 7
    assert len(run(BarsData(dataname=raw, gaps="ffill"))["rows"]) == 8
    assert len(run(BarsData(dataname=as_bars(raw, gaps="keep")))["rows"]) == 7
    with pytest.raises(BarGap):
        BarsData(dataname=as_bars(raw, gaps="keep"), gaps="raise")


def test_the_frame_is_not_touched(market):
    before = market.copy(deep=True)
    run(BarsData(dataname=market))
    pd.testing.assert_frame_equal(market, before)
