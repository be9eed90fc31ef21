"""CCXTData in a Cerebro: history, store, live bars, and the end of the run."""

import gc
from types import SimpleNamespace

import backtrader as bt
import pytest

from feeds import CCXTData, load_bars
from feeds.errors import BadSource, BadSymbol, BadTimeframe
from feeds.live.events import Bar, Notice, Status
from feeds.live.group import LiveGroup
from feeds.live.queue import LiveQueue
from tests.bybit import HOUR, MINUTE, LoopbackBybit, Respond, RetCode
from tests.bybit.market import default_listings, funding
from tests.feeds.live.live_runs import START, Watch, finished, history_rows, live_feed, live_threads, watched

SPEED = 600.0


@pytest.fixture
def exchange():
    with LoopbackBybit(clock=START, speed=SPEED, push_ms=20_000, limit=(100_000, 5.0)) as exchange:
        yield exchange


@pytest.fixture(autouse=True)
def _no_thread_is_left():
    yield
    gc.collect()
    assert live_threads() == []


def prices(rows):
    return [row[:6] for row in rows]


def test_history_then_every_bar_as_it_closes(exchange, tmp_path):
    run = finished(live_feed(exchange, tmp_path), bars=25)
    (rows,) = run.rows
    assert [row[0] for row in rows] == [rows[0][0] + k * MINUTE for k in range(25)]
    assert prices(rows) == prices(history_rows(load_bars, exchange, tmp_path, rows))
    assert run.statuses()[:2] == ["DELAYED", "LIVE"]
    assert run.notes[0] == (0, 0, "DELAYED")


def test_polling_makes_one_request_a_bar(tmp_path):
    with LoopbackBybit(clock=START, speed=120.0, limit=(100_000, 5.0)) as exchange:
        run = finished(live_feed(exchange, tmp_path, websocket=False), bars=12)
        (rows,) = run.rows
        asked = len(exchange.requests("/v5/market/kline"))
        assert not exchange.requests("/v5/public/linear")
    assert len(rows) == 12
    assert asked <= 1 + (12 - 5) + 1
    assert run.statuses() == ["DELAYED", "LIVE"]


def test_only_history_ends_by_itself(exchange, tmp_path):
    feed = live_feed(exchange, tmp_path, historical=True, backfill=30)
    run = finished(feed, bars=1_000)
    assert len(run.rows[0]) == 30
    assert not feed.islive()


def test_a_since_of_now_has_no_history(exchange, tmp_path):
    run = finished(live_feed(exchange, tmp_path, since=START // MINUTE * MINUTE + MINUTE - 60_000), bars=3)
    assert run.rows[0][0][0] == START // MINUTE * MINUTE + MINUTE


@pytest.mark.parametrize("lacking", [-3, -5], ids=["inside", "first"])
def test_a_bar_that_the_history_lacks_at_a_restart_is_waited_for(tmp_path, lacking):
    with LoopbackBybit(clock=START, speed=240.0, push_ms=20_000, limit=(100_000, 5.0)) as exchange:
        now = START // MINUTE * MINUTE
        exchange.hide_bars("BTCUSDT", [now + lacking * MINUTE], exchange.now() + 90_000)
        [rows] = finished(live_feed(exchange, tmp_path, since=now - 5 * MINUTE), bars=8).rows
    assert [row[0] for row in rows] == [now + k * MINUTE for k in range(-4, 4)]


def test_a_notice_that_arrives_with_a_bar_in_the_last_moment_comes_before_it():
    queue = LiveQueue(10)

    class Meanwhile(CCXTData):
        def _pass_notices(self, queue):
            super()._pass_notices(queue)
            # The network's thread runs here.
            for item in (Notice(Status.DELAYED), Bar(MINUTE, (1.0,) * 5)):
                queue.add_now(item)

    feed = Meanwhile(dataname="BTC/USDT:USDT", timeframe="1m")
    feed._thread, feed._group = SimpleNamespace(queue=queue), LiveGroup([object()], 1.0)
    feed._group.passed(2 * MINUTE)
    assert feed._load_live(queue) is None
    assert [type(queue.pop()) for _ in range(2)] == [Notice, Bar]


def test_the_bar_size_is_known_to_backtrader(exchange, tmp_path):
    feed = live_feed(exchange, tmp_path, timeframe="1h", historical=True)
    run = finished(feed)
    assert (feed.p.timeframe, feed.p.compression) == (bt.TimeFrame.Minutes, 60)
    assert (feed._timeframe, feed._compression, feed.bar_ms) == (bt.TimeFrame.Minutes, 60, HOUR)
    assert feed.close_ms() == run.rows[0][-1][0]
    assert feed.p.name == feed._name == "BTC/USDT:USDT"


@pytest.mark.parametrize(
    ("params", "error"),
    [
        ({"timeframe": "1w"}, BadTimeframe),
        ({"timeframe": 4}, BadTimeframe),
        ({"exchange": "binance"}, BadSource),
        ({"since": "yesterday"}, BadSource),
        ({"dataname": None}, BadSource),
    ],
)
def test_what_cannot_be_understood_is_refused_at_once(params, error):
    with pytest.raises(error):
        CCXTData(**{"dataname": "BTC/USDT:USDT", **params})


def test_an_unknown_symbol_or_a_since_in_the_future_stops_the_start(exchange, tmp_path):
    with pytest.raises(BadSymbol, match="BTC/USDT:USDT"):
        finished(live_feed(exchange, tmp_path, dataname="BTC/USDTT:USDT"))
    with pytest.raises(BadSource, match="in the past"):
        finished(live_feed(exchange, tmp_path, since="2035-01-01"))


def test_rejected_requests_end_no_run_and_bars_go_on_afterwards(exchange, tmp_path):
    refused = []

    def refuse(strategy):
        if "LIVE" in strategy.statuses() and not refused:
            refused.append(len(strategy.data))
            exchange.inject(RetCode(10001, "symbol invalid"), times=4)
            exchange.inject(Respond(404), times=4)
            exchange.inject(RetCode(10001, "symbol invalid"), on="ws:subscribe", times=3)
            for connection in list(exchange.connections):
                exchange._loop.call_soon_threadsafe(connection._socket._req.transport.abort)

    run = finished(live_feed(exchange, tmp_path), bars=30, act=refuse)
    (rows,) = run.rows
    assert prices(rows) == prices(history_rows(load_bars, exchange, tmp_path, rows))
    assert "DISCONNECTED" in run.statuses()


def test_of_two_symbols_one_delisted_does_not_stop_or_delay_the_other(exchange, tmp_path):
    told = []

    class Told(Watch):
        def notify_data(self, data, status, *args):
            told.append((data.p.name, data._getstatusname(status), *args))

    def gone(strategy):
        if len(strategy.datas[0]) == 8 and not exchange.ended:
            exchange.delist("ETHUSDT", refuse=False)

    cerebro = bt.Cerebro(stdstats=False)
    for name in ("BTC/USDT:USDT", "ETH/USDT:USDT"):
        # Without `sync`, a bar that waits for the other symbol would wait for ever.
        cerebro.adddata(live_feed(exchange, tmp_path, dataname=name, sync=1e6))
    cerebro.addstrategy(Told, bars=20, act=gone)
    with watched(30):
        run = cerebro.run()[0]
    assert len(run.rows[0]) == 20
    assert len(run.rows[1]) < 20
    assert any(
        name == "ETH/USDT:USDT" and state == "DISCONNECTED" and "delisted" in str(reason)
        for name, state, *reason in told
    )


def test_a_strategy_that_fails_leaves_no_thread(exchange, tmp_path):
    def fail(strategy):
        if len(strategy.data) > 7:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        finished(live_feed(exchange, tmp_path), act=fail)
    gc.collect()
    assert live_threads() == []


def test_one_feed_is_read_as_it_is_and_resampled_beside(exchange, tmp_path):
    feed = live_feed(exchange, tmp_path)

    def longer(cerebro):
        cerebro.resampledata(feed, timeframe=bt.TimeFrame.Minutes, compression=5)

    with watched(60):
        run = finished(feed, bars=30, prepare=longer)
    minutes, fives = run.rows
    assert [row[0] for row in minutes] == [minutes[0][0] + k * MINUTE for k in range(30)]
    whole = [row for row in fives if row[0] - 5 * MINUTE >= minutes[0][0] - MINUTE]
    assert len(whole) >= 4
    for close, _, high, low, last, volume, *_ in whole:
        part = [row for row in minutes if close - 5 * MINUTE < row[0] <= close]
        assert len(part) == 5
        assert (high, low, last) == (max(r[2] for r in part), min(r[3] for r in part), part[-1][4])
        assert volume == pytest.approx(sum(r[5] for r in part))


def test_a_feed_can_run_again(exchange, tmp_path):
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(live_feed(exchange, tmp_path))
    cerebro.addstrategy(Watch, bars=8)
    assert [len(cerebro.run()[0].rows[0]) for _ in range(2)] == [8, 8]


@pytest.mark.parametrize("charged", [False, True])
def test_a_run_that_goes_on_charges_the_settlement_that_its_earlier_bars_have_not(tmp_path, charged):
    midnight = START // (24 * HOUR) * (24 * HOUR)
    [(_, rate)] = funding(default_listings()[0], midnight, midnight)
    with LoopbackBybit(clock=midnight + 12 * MINUTE, speed=SPEED, limit=(100_000, 5.0)) as exchange:
        feed = live_feed(exchange, tmp_path, since=midnight + 6 * MINUTE)
        feed.earlier_rates = {midnight + k * MINUTE: rate * (charged and not k) for k in range(-4, 6)}
        [rows] = finished(feed, bars=10).rows
    rates = {row[0] - MINUTE: row[7] for row in rows if row[7]}
    assert rates == {} if charged else {midnight + 12 * MINUTE: rate}
