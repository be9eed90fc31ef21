"""The rules that the loopback keeps, asked of the loopback (always) and of the exchange (`-m online`, with a network).

Nobody here knows what the exchange answers to the day, so every assertion is a rule and not a value. Raw requests
without ccxt: what is compared is the exchange, not a client.
"""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
from dataclasses import dataclass

import aiohttp
import pytest

from tests.bybit import DAY, HOUR, MINUTE, LoopbackBybit

REST, STREAM = "https://api.bybit.com", "wss://stream.bybit.com/v5/public/linear"
SIDES = ["loopback", pytest.param("exchange", marks=[pytest.mark.online, pytest.mark.enable_socket])]
WEEK = 7 * DAY


@dataclass
class Side:
    """Where to ask, and how long a minute takes there."""

    rest: str
    stream: str
    minute: float

    def ask(self, path, **query):
        text = "&".join(f"{name}={value}" for name, value in query.items())
        request = urllib.request.Request(  # noqa: S310
            f"{self.rest}/v5/market/{path}?{text}", headers={"User-Agent": "scorenet-online-tests"}
        )
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
            return json.load(answer)

    def now(self):
        return self.ask("time")["time"]

    def klines(self, path="kline", **query):
        query = {"category": "linear", "symbol": "BTCUSDT", "interval": "60", **query}
        answer = self.ask(path, **query)
        assert answer["retCode"] == 0, answer
        return answer["result"]["list"]

    def starts(self, **query):
        return [int(row[0]) for row in self.klines(**query)]


@pytest.fixture(scope="module", params=SIDES)
def side(request):
    if request.param == "exchange":
        # pytest-socket allows the loopback alone; `enable_socket` lifts that for these tests.
        yield Side(REST, STREAM, 60.0)
        return
    now = time.time_ns() // 1_000_000
    with LoopbackBybit(clock=now, speed=120.0, push_ms=10_000, limit=(100_000, 5.0)) as loopback:
        yield Side(loopback.url, loopback.url.replace("http", "ws") + "/v5/public/linear", 0.5)


@pytest.fixture
def hour(side):
    """The start of an hour that is long over."""
    return side.now() // HOUR * HOUR - 50 * HOUR


def test_the_time_is_in_milliseconds_and_on_every_answer(side):
    before = side.now()
    answer = side.ask("kline", category="linear", symbol="BTCUSDT", interval="60", limit=1)
    assert before <= answer["time"] <= side.now()
    assert 10**12 < before < 10**14


def test_start_and_end_are_inclusive(side, hour):
    assert side.starts(start=hour, end=hour + 2 * HOUR) == [hour + 2 * HOUR, hour + HOUR, hour]
    assert side.starts(start=hour, end=hour) == [hour]


def test_a_window_wider_than_the_limit_gives_its_newest_rows(side, hour):
    assert side.starts(start=hour - 40 * HOUR, end=hour, limit=2) == [hour, hour - HOUR]


def test_a_start_alone_runs_forward(side, hour):
    assert side.starts(start=hour - 40 * HOUR, limit=2) == [hour - 39 * HOUR, hour - 40 * HOUR]


def test_a_start_inside_a_candle_gives_that_candle(side, hour):
    assert hour in side.starts(start=hour + MINUTE, end=hour + 2 * MINUTE)


def test_a_thousand_rows_are_the_most(side, hour):
    assert len(side.starts(limit=1000)) == 1000
    assert side.starts(start=hour - 999 * HOUR, end=hour, limit=1000)[-1] == hour - 999 * HOUR


def test_the_last_kline_is_the_open_one(side):
    before = side.now() // MINUTE * MINUTE
    newest = side.starts(interval="1", limit=2)
    assert before <= newest[0] <= side.now()
    assert newest[0] - newest[1] == MINUTE


def test_before_the_listing_and_in_the_future_there_is_nothing(side):
    now = side.now()
    assert side.starts(start=1_420_070_400_000, end=1_420_070_400_000 + 9 * HOUR) == []
    assert side.starts(start=now // HOUR * HOUR + 5 * HOUR, end=now // HOUR * HOUR + 9 * HOUR) == []


def test_rows_are_texts_seven_of_a_trade_price_and_five_of_a_mark_price(side, hour):
    [row] = side.klines(start=hour, end=hour)
    assert (len(row), {type(cell) for cell in row}) == (7, {str})
    [row] = side.klines("mark-price-kline", start=hour, end=hour)
    assert (len(row), {type(cell) for cell in row}) == (5, {str})


def test_weeks_start_on_monday_and_days_at_midnight(side):
    assert all(
        (start // DAY + 3) % 7 == 0 and start % DAY == 0 for start in side.starts(interval="W", limit=5)
    )
    assert all(start % DAY == 0 for start in side.starts(interval="D", limit=5))


@pytest.mark.parametrize(
    "query",
    [
        {"interval": "7"},
        {"symbol": "NOSUCHUSDT"},
        {"category": "nowhere"},
    ],
    ids=["interval", "symbol", "category"],
)
def test_a_wrong_parameter_is_an_error_with_http_200(side, query):
    query = {"category": "linear", "symbol": "BTCUSDT", "interval": "60", **query}
    assert side.ask("kline", **query)["retCode"] == 10001


def test_a_lone_start_of_funding_is_an_error(side, hour):
    query = {"category": "linear", "symbol": "BTCUSDT"}
    assert side.ask("funding/history", **query, startTime=hour - WEEK)["retCode"] == 10001
    rows = side.ask("funding/history", **query, startTime=hour - WEEK, endTime=hour)["result"]["list"]
    stamps = [int(row["fundingRateTimestamp"]) for row in rows]
    assert stamps == sorted(stamps, reverse=True)
    assert hour - WEEK <= stamps[-1] <= stamps[0] <= hour
    assert all(stamp % HOUR == 0 for stamp in stamps)


def test_open_interest_goes_back_from_its_end_by_cursor(side, hour):
    query = {"category": "linear", "symbol": "BTCUSDT", "intervalTime": "1h", "limit": 10}
    window = {"startTime": hour - 14 * HOUR, "endTime": hour}
    first = side.ask("open-interest", **query, **window)["result"]
    rest = side.ask("open-interest", **query, **window, cursor=first["nextPageCursor"])["result"]
    stamps = [int(row["timestamp"]) for row in first["list"] + rest["list"]]
    assert stamps == [hour - k * HOUR for k in range(15)]


def test_instruments_are_paged_and_hide_what_does_not_trade(side):
    names, cursor, pages = [], "", 0
    while pages == 0 or cursor:
        more = {"cursor": cursor} if cursor else {}
        result = side.ask(
            "instruments-info", category="linear", limit=4 if side.minute < 60 else 200, **more
        )["result"]
        names += [row["symbol"] for row in result["list"]]
        assert {row["status"] for row in result["list"]} == {"Trading"}
        cursor, pages = result["nextPageCursor"], pages + 1
    assert pages > 1
    assert len(names) == len(set(names))
    assert "BTCUSDT" in names
    waiting = side.ask("instruments-info", category="linear", status="PreLaunch")["result"]["list"]
    assert not {row["symbol"] for row in waiting} & set(names)


def test_a_candle_is_confirmed_once_and_then_the_endpoint_has_it(side):
    """Two closings: what says confirm is over, what does not say it is not."""

    async def listen():
        frames = []
        async with aiohttp.ClientSession() as session, session.ws_connect(side.stream) as socket:
            await socket.send_json({"op": "subscribe", "req_id": "1", "args": ["kline.1.BTCUSDT"]})
            answer = await socket.receive_json(timeout=20)
            assert (answer["op"], answer["success"]) == ("subscribe", True)
            while sum(frame["data"][0]["confirm"] for frame in frames) < 2:
                frame = await socket.receive_json(timeout=90)
                if frame.get("topic") == "kline.1.BTCUSDT":
                    frames.append(frame)
        return frames

    frames = asyncio.run(listen())
    confirmed = [frame["data"][0] for frame in frames if frame["data"][0]["confirm"]]
    assert confirmed[1]["start"] - confirmed[0]["start"] == MINUTE
    for frame in frames:
        candle = frame["data"][0]
        assert candle["end"] == candle["start"] + MINUTE - 1
        assert not candle["confirm"] or frame["ts"] >= candle["start"] + MINUTE
    [row] = side.klines(interval="1", start=confirmed[0]["start"], end=confirmed[0]["start"])
    names = ("start", "open", "high", "low", "close", "volume", "turnover")
    assert [float(confirmed[0][name]) for name in names] == [float(cell) for cell in row]
