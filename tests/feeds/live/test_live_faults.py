"""Faults of the websocket, the clock and the consumer: each bar of the history is delivered once, in order."""

import asyncio
import contextlib
import gc
import itertools
import json
import logging
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feeds import load_bars
from feeds.bybit.stream import BybitStream, topic_of
from feeds.exchange.failures import Malformed
from feeds.instruments import Instrument
from feeds.live.charged import Charged
from feeds.live.clock import ExchangeClock
from feeds.live.events import Bar, Failed, LiveSettings, Notice, Status
from feeds.live.queue import LiveQueue
from feeds.live.source import LiveSource, LiveThread
from feeds.store.keys import SeriesKey
from feeds.store.series_store import read_series
from tests.bybit import (
    HOUR,
    MINUTE,
    Corrupt,
    Drop,
    Frames,
    Hang,
    Late,
    LoopbackBybit,
    Mutate,
    Reset,
    Respond,
    RetCode,
    Silence,
    faults,
)
from tests.feeds.live.live_runs import START, finished, history_rows, live_feed, live_threads

pytestmark = pytest.mark.timeout(60)

SPEED = 1_200.0
HISTORY, LIVE = 5, 13
BTC = Instrument("BTC/USDT:USDT", "BTCUSDT", "linear", 0.1, 0.001, 0.001, 5.0, 480, None, True)


def raw(text):
    """Return a fault that pushes `text` before the right frame."""
    return Frames(lambda frame: [text, frame])


# (point, fault, whether the connection must be closed)
FRAMES = {
    "broken JSON": ("ws:push", faults.POISON, True),
    "a million brackets": ("ws:push", raw("[" * 1_000_000), True),
    "text": ("ws:push", raw("maintenance"), True),
    "a number": ("ws:push", raw("7"), True),
    "null": ("ws:push", raw("null"), True),
    "an empty array": ("ws:push", raw("[]"), True),
    "nothing at all": ("ws:push", raw(""), True),
    "bytes": ("ws:push", raw(b"\xff\xfe\x00"), True),
    "NaN": ("ws:push", faults.NAN_FRAME, True),
    "no data": ("ws:push", faults.NULL_DATA, True),
    "unknown topic": ("ws:push", faults.UNKNOWN_TOPIC, False),
    "never confirmed": ("ws:closed", faults.NEVER, False),
    "duplicate": ("ws:closed", faults.DUPLICATE, False),
    "confirmed early": ("ws:push", faults.EARLY_CONFIRM, True),
    "late": ("ws:closed", Late(90_000), False),
    "closed by the exchange": ("ws:push", Drop(1001), True),
    "reset": ("ws:push", Reset(), True),
    "silence": ("ws:push", Silence(), True),
    "silence, not even pongs": ("ws:closed", Silence(pongs=False), True),
    "subscription refused": ("ws:subscribe", RetCode(10001, "handler not found"), False),
    "subscription unanswered": ("ws:subscribe", Hang(0.6), False),
    "handshake refused": ("ws:connect", Respond(503), False),
    "handshake cut": ("ws:connect", Reset(), False),
    "handshake unanswered": ("ws:connect", Hang(0.6), False),
}


@pytest.fixture
def exchange():
    with LoopbackBybit(clock=START, speed=SPEED, push_ms=20_000, limit=(100_000, 5.0)) as exchange:
        yield exchange


@pytest.fixture(autouse=True)
def _no_thread_is_left():
    yield
    gc.collect()
    assert live_threads() == []


def follow(exchange, folder, *, bars=HISTORY + LIVE, act=None, until=(), **params):
    """Run for a number of bars or more, check that they equal the history, and return the strategy."""
    run = finished(live_feed(exchange, folder, **params), bars=bars, act=act, until=until)
    [rows] = run.rows
    assert len(rows) >= bars
    assert [row[0] for row in rows] == [rows[0][0] + k * MINUTE for k in range(len(rows))]
    assert rows == history_rows(load_bars, exchange, folder, rows)
    return run


@pytest.mark.parametrize(("on", "fault", "fatal"), FRAMES.values(), ids=FRAMES)
def test_no_frame_and_no_connection_changes_what_the_strategy_sees(exchange, tmp_path, on, fault, fatal):
    exchange.inject(fault, on=on)
    exchange.inject(fault, on=on, skip=4 if on in ("ws:push", "ws:closed") else 0)
    run = follow(exchange, tmp_path, until=("LIVE", *(["DISCONNECTED"] if fatal else [])))
    if fatal:
        assert "DISCONNECTED" in run.statuses()
        assert len(exchange.requests("/v5/public/linear")) > 1
    assert run.statuses()[0] == "DELAYED"
    assert "LIVE" in run.statuses()


def test_all_faults_at_once_change_nothing(exchange, tmp_path):
    for number, (on, fault, _) in enumerate(FRAMES.values()):
        exchange.inject(fault, on=on, skip=0 if on in ("ws:connect", "ws:subscribe") else 2 * number)
    follow(exchange, tmp_path, bars=HISTORY + 40)


def test_of_two_confirmed_versions_of_a_bar_the_one_in_the_history_is_stored(exchange, tmp_path, caplog):
    injected = []

    def conflict(strategy):
        if "LIVE" in strategy.statuses() and not injected:
            injected.append(exchange.inject(faults.CONFLICTING, on="ws:closed", skip=2))

    with caplog.at_level(logging.WARNING, "feeds"):
        # A long grace, so that no bar is requested before its candle arrives.
        run = finished(live_feed(exchange, tmp_path, grace=45.0), bars=HISTORY + 4 * LIVE, act=conflict)
    [rows] = run.rows
    assert [row[0] for row in rows] == [rows[0][0] + k * MINUTE for k in range(len(rows))]
    [wrong] = [row for row in rows if row[5] == 0.5]
    [told] = [record for record in caplog.records if "was delivered as" in record.message]
    assert "BTC/USDT:USDT" in told.message
    held = history_rows(load_bars, exchange, tmp_path, rows)
    assert [row for row in held if row not in rows] == [row for row in held if row[0] == wrong[0]]
    assert history_rows(load_bars, exchange, tmp_path / "fresh", rows) == held


def test_a_connection_that_comes_back_late_is_backfilled_before_the_next_bar(exchange, tmp_path):
    exchange.inject(Drop(), on="ws:closed", skip=2)
    exchange.inject(Respond(503), on="ws:connect", skip=1, times=4)
    run = follow(exchange, tmp_path, bars=HISTORY + 20)
    assert "LIVE" in run.statuses()[run.statuses().index("DISCONNECTED") :]


def test_while_the_exchange_answers_nothing_the_feed_waits_and_then_goes_on(exchange, tmp_path):
    kline, clock, healer = "/v5/market/kline", "/v5/market/time", []

    def refused(path):
        return sum(request.status == 503 for request in exchange.requests(path))

    def was_felt():
        return refused(kline) >= 3 and refused(clock) >= 6

    def heal_when_felt():
        deadline = time.monotonic() + 30
        while not was_felt() and time.monotonic() < deadline:
            time.sleep(0.01)
        exchange.heal()

    def outage(strategy):
        if "LIVE" in strategy.statuses() and not healer:
            for on in (kline, clock, "ws:connect"):
                exchange.inject(Respond(503), on=on, times=1_000_000)
            exchange.inject(Drop(), on="ws:push")
            healer.append(threading.Thread(target=heal_when_felt))
            healer[0].start()

    run = follow(exchange, tmp_path, bars=HISTORY + 4 * LIVE, act=outage)
    assert was_felt()
    assert "DISCONNECTED" in run.statuses()


def test_after_a_ban_nothing_is_sent_until_it_is_over(exchange, tmp_path):
    exchange.inject(Respond(403, b"access too frequent"))
    step = MINUTE
    first = exchange.now() // step * step - 3 * step
    source = LiveSource(
        instrument=BTC,
        timeframe="1m",
        first=first,
        charged=Charged(first),
        data_dir=tmp_path,
        base_url=exchange.url,
        speed=SPEED,
        settings=LiveSettings(ban=0.5),
    )
    thread = LiveThread(source, 100)
    thread.start()
    try:
        items = []
        while not any(isinstance(item, Bar) for item in items):
            if (item := thread.queue.pop()) is not None:
                items.append(item)
            elif items:
                sent = len(exchange.log)
                time.sleep(0.2)
                if thread.queue.pop() is None:
                    assert len(exchange.log) == sent
                    break
            time.sleep(0.01)
        assert items[0].status is Status.DISCONNECTED
        assert "HTTP 403" in items[0].reason
        deadline = time.monotonic() + 10
        while not isinstance(item := thread.queue.pop(), Bar):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert item.start == first
    finally:
        thread.stop()


def test_polling_continues_after_faults(exchange, tmp_path):
    def spoil(strategy):
        if len(strategy.data) == HISTORY + 2:
            for fault in (Reset(), RetCode(10016), Respond(200, b""), Respond(503), Respond(200, b"<html>")):
                exchange.inject(fault)

    follow(exchange, tmp_path, websocket=False, act=spoil)


def test_rows_of_another_market_or_time_never_reach_the_strategy(exchange, tmp_path):
    def foreign(result):
        return {**result, "symbol": "ETHUSDT"}

    def shifted(result):
        return {**result, "list": [[str(int(row[0]) + HOUR), *row[1:]] for row in result["list"]]}

    def spoil(strategy):
        if len(strategy.data) == HISTORY + 2:
            exchange.inject(Mutate(foreign), times=2)
            exchange.inject(Mutate(shifted), times=2)

    follow(exchange, tmp_path, websocket=False, act=spoil)


def test_bars_that_the_exchange_never_recorded_are_left_out_and_reported(exchange, tmp_path, caplog):
    hole = [exchange.now() // MINUTE * MINUTE + k * MINUTE for k in (5, 6)]
    exchange.lose_bars("BTCUSDT", hole, MINUTE)
    with caplog.at_level(logging.WARNING, "feeds"):
        run = finished(live_feed(exchange, tmp_path), bars=HISTORY + LIVE)
    [rows] = run.rows
    opens = [row[0] - MINUTE for row in rows]
    assert {b - a for a, b in itertools.pairwise(opens)} == {MINUTE, 3 * MINUTE}
    assert not set(hole) & set(opens)
    assert any("has no bars from" in record.message for record in caplog.records)
    assert rows == history_rows(load_bars, exchange, tmp_path, rows)


def test_the_clock_may_jump_ahead(exchange, tmp_path):
    def sleep(strategy):
        if len(strategy.data) == HISTORY + 3:
            exchange.clock += 30 * MINUTE

    run = follow(exchange, tmp_path, bars=HISTORY + 45, act=sleep)
    assert run.statuses()[0] == "DELAYED"


def test_a_wrong_server_time_does_not_close_an_open_candle(exchange, tmp_path):
    def ahead(body):
        return json.dumps({**(answer := json.loads(body)), "time": answer["time"] + 4 * MINUTE}).encode()

    # The download requests the first two bars.
    exchange.inject(Corrupt(ahead), on="/v5/market/time", skip=2)
    follow(exchange, tmp_path, websocket=False)
    assert not exchange._planned


def test_a_slow_consumer_does_not_make_the_queue_grow(exchange, tmp_path):
    sizes = []

    def dawdle(strategy):
        sizes.append(len(strategy.data._thread.queue._items))
        if len(strategy.data) in (HISTORY + 2, HISTORY + 12):
            time.sleep(0.6)  # twelve bars close meanwhile

    follow(exchange, tmp_path, bars=HISTORY + 30, act=dawdle, queue=3)
    assert max(sizes) <= 3


def test_a_restart_goes_on_where_it_was_and_asks_for_no_bar_twice(exchange, tmp_path):
    since = START // MINUTE * MINUTE - 5 * MINUTE
    first = follow(exchange, tmp_path, since=since)
    exchange.log.clear()
    second = follow(exchange, tmp_path, since=since, bars=HISTORY + LIVE + 10)
    assert second.rows[0][: len(first.rows[0])] == first.rows[0]
    # The download requests the last five stored bars again, a live request the last three delivered bars.
    asked = [int(request.query["start"]) for request in exchange.requests()]
    assert min(asked) >= first.rows[0][-1][0] - MINUTE - 5 * MINUTE


def test_a_settlement_just_before_the_bar_is_on_its_bar(tmp_path):
    midnight = START // (24 * HOUR) * (24 * HOUR)
    with LoopbackBybit(clock=midnight + 150_000, speed=600.0, limit=(100_000, 5.0)) as exchange:
        [rows] = follow(exchange, tmp_path).rows
    assert [row[0] - MINUTE for row in rows if row[7]] == [midnight]


def test_what_was_delivered_is_in_the_store(exchange, tmp_path):
    [rows] = follow(exchange, tmp_path).rows
    stored = read_series(tmp_path, SeriesKey("bybit", "BTC/USDT:USDT", "1m"), 0, 1 << 62)
    assert stored.columns["timestamp"].tolist()[: len(rows)] == [row[0] - MINUTE for row in rows]


# --- frames

TOPIC = topic_of(BTC, "1m")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from([TOPIC]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["topic", "ts", "data", "start", "open", "high", "low", "close", "volume",
                         "turnover", "confirm", "success"]),
        inner,
        max_size=12,
    ),
)  # fmt: skip
CANDLE = {
    "start": START // MINUTE * MINUTE, "open": "2", "high": "3", "low": "1", "close": "2", "volume": "1",
    "turnover": "2", "confirm": True,
}  # fmt: skip
WHOLE = {"topic": TOPIC, "type": "snapshot", "ts": START // MINUTE * MINUTE + MINUTE, "data": [CANDLE]}


@given(JSON)
def test_any_json_is_no_candle_or_says_why(frame):
    with contextlib.suppress(Malformed):
        assert BybitStream().candles(frame, BTC, "1m") == []


@given(st.sampled_from(sorted(CANDLE)), JSON)
def test_a_candle_with_one_strange_field_is_refused_or_plain(name, value):
    frame = {**WHOLE, "data": [{**CANDLE, name: value}]}
    try:
        [candle] = BybitStream().candles(frame, BTC, "1m")
    except Malformed:
        return
    opened, high, low, close, volume = candle.values
    assert 0 < low <= min(opened, close) <= max(opened, close) <= high < float("inf")
    assert 0 <= volume < float("inf")
    assert candle.start % MINUTE == 0


def test_the_whole_frame_is_a_candle():
    [candle] = BybitStream().candles(WHOLE, BTC, "1m")
    assert (candle.start, candle.values, candle.closed) == (CANDLE["start"], (2.0, 3.0, 1.0, 2.0, 1.0), True)


@pytest.mark.parametrize("data", [None, [], {}, "x", [None], [[]], [{}], 7])
def test_a_frame_of_the_topic_without_candles_is_refused(data):
    with pytest.raises(Malformed):
        BybitStream().candles({**WHOLE, "data": data}, BTC, "1m")


# --- the clock


def test_the_clock_uses_a_monotonic_timer():
    at = [100.0]
    clock = ExchangeClock(timer=lambda: at[0])
    with pytest.raises(RuntimeError, match="the clock is not set"):
        clock.now()
    clock.set(START)
    at[0] += 2.5
    assert clock.now() == START + 2_500
    assert clock.seconds_until(START + 4_000) == 1.5
    assert clock.seconds_until(START) == 0.0


def test_the_clock_is_moved_by_plausible_stamps_only_and_never_back_by_old_ones():
    at = [0.0]
    clock = ExchangeClock(timer=lambda: at[0])
    clock.set(START)
    assert clock.move_forward(START - 90_000)
    assert clock.now() == START
    assert clock.move_forward(START + 900)
    assert clock.now() == START + 900
    assert not clock.move_forward(START + HOUR)
    assert clock.now() == START + 900
    clock.set(START - HOUR)
    assert clock.now() == START - HOUR


def test_a_suspended_machine_does_not_stop_the_clock():
    # CLOCK_BOOTTIME counts a sleep; here the timer makes the same leap.
    at = [0.0]
    clock = ExchangeClock(timer=lambda: at[0])
    clock.set(START)
    at[0] += 3_600
    assert clock.now() == START + HOUR


# --- the queue


def bar(number):
    return Bar(number * MINUTE, (1.0, 1.0, 1.0, 1.0, 1.0))


def test_the_queue_is_bounded_keeps_its_order_and_tells_the_end():
    queue = LiveQueue(3)
    peak = []

    async def produce():
        for number in range(200):
            await queue.put(bar(number))
            peak.append(len(queue._items))

    thread = threading.Thread(target=lambda: asyncio.run(produce()))
    thread.start()
    taken = []
    while len(taken) < 200:
        item = queue.pop()
        if item is not None:
            taken.append(item)
    thread.join()
    assert taken == [bar(number) for number in range(200)]
    assert max(peak) <= 3
    assert not queue.failed()
    queue.add_now(Failed(ZeroDivisionError()))
    assert queue.failed()


def test_notices_come_before_their_bars():
    queue = LiveQueue(9)
    for item in (Notice(Status.DELAYED), bar(1), Notice(Status.LIVE)):
        queue.add_now(item)
    assert queue.next_bar() == bar(1)
    assert queue.pop_notice() == Notice(Status.DELAYED)
    assert queue.pop_notice() is None
    assert queue.pop() == bar(1)
    assert queue.pop_notice() == Notice(Status.LIVE)
