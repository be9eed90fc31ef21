"""The loopback exchange follows the documented rules, including those that are inconvenient for clients."""

import http.client
import itertools
import json
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from tests.bybit import DAY, HOUR, DieMidBody, LoopbackBybit, Reset, RetCode
from tests.bybit.fixtures import NOW, bybit

__all__ = ["bybit"]

OPEN = NOW // HOUR * HOUR  # the start of the candle that is open at NOW
LAUNCH = 1_640_995_200_000


def ask(exchange, path, **query):
    text = "&".join(f"{name}={value}" for name, value in query.items())
    with urllib.request.urlopen(f"{exchange.url}/v5/market/{path}?{text}", timeout=5) as answer:  # noqa: S310
        return json.load(answer)


def starts(exchange, **query):
    query = {"category": "linear", "symbol": "BTCUSDT", "interval": "60", **query}
    return [int(row[0]) for row in ask(exchange, "kline", **query)["result"]["list"]]


def test_klines_come_newest_first_and_the_newest_is_open(bybit):
    assert starts(bybit, limit=3) == [OPEN, OPEN - HOUR, OPEN - 2 * HOUR]


def test_the_open_candle_changes_until_it_closes(bybit):
    def close():
        query = {"category": "linear", "symbol": "BTCUSDT", "interval": "60", "start": OPEN, "end": OPEN}
        return ask(bybit, "kline", **query)["result"]["list"][0][4]

    before = close()
    bybit.clock = OPEN + 2 * HOUR
    after = close()
    assert before != after
    bybit.clock += DAY
    assert close() == after


def test_start_and_end_are_inclusive(bybit):
    assert starts(bybit, start=OPEN - 9 * HOUR, end=OPEN - 7 * HOUR) == [
        OPEN - 7 * HOUR,
        OPEN - 8 * HOUR,
        OPEN - 9 * HOUR,
    ]


def test_a_window_wider_than_the_limit_gives_its_newest_rows(bybit):
    assert starts(bybit, start=OPEN - 90 * HOUR, end=OPEN - 7 * HOUR, limit=1) == [OPEN - 7 * HOUR]
    assert len(starts(bybit, start=OPEN - 900 * HOUR, end=OPEN)) == 200


def test_a_start_inside_a_candle_gives_that_candle(bybit):
    assert starts(bybit, start=OPEN - 3 * HOUR + 1, end=OPEN - 3 * HOUR + 2) == [OPEN - 3 * HOUR]


def test_a_start_alone_runs_forward(bybit):
    assert starts(bybit, start=OPEN - 90 * HOUR, limit=2) == [OPEN - 89 * HOUR, OPEN - 90 * HOUR]


def test_before_the_listing_and_in_the_future_there_is_nothing(bybit):
    assert starts(bybit, start=LAUNCH - 9 * HOUR, end=LAUNCH - HOUR) == []
    assert starts(bybit, start=OPEN + HOUR, end=OPEN + 9 * HOUR) == []


def test_weeks_start_on_monday(bybit):
    monday = starts(bybit, interval="W", limit=1)[0]
    assert (monday // DAY + 3) % 7 == 0


def test_mark_price_rows_have_no_volume(bybit):
    result = ask(bybit, "mark-price-kline", category="linear", symbol="BTCUSDT", interval="60")["result"]
    assert {len(row) for row in result["list"]} == {5}


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("kline", {"symbol": "BTCUSDT", "interval": "60", "limit": 1001}),
        ("kline", {"symbol": "BTCUSDT", "interval": "60", "limit": 0}),
        ("kline", {"symbol": "BTCUSDT", "interval": "7"}),
        ("kline", {"symbol": "NOPE", "interval": "60"}),
        ("kline", {"symbol": "SOLUSDT", "interval": "60", "category": "spot"}),
        ("kline", {"symbol": "BTCUSDT", "interval": "60", "start": "abc"}),
        ("kline", {"symbol": "BTCUSDT", "interval": "60", "start": 2, "end": 1}),
        ("funding/history", {"symbol": "BTCUSDT", "startTime": 1}),
        ("funding/history", {"symbol": "BTCUSDT", "limit": 201}),
        ("open-interest", {"symbol": "BTCUSDT", "intervalTime": "2h"}),
        ("nowhere", {}),
    ],
)
def test_what_is_not_documented_is_refused_with_http_200(bybit, path, query):
    assert ask(bybit, path, **query)["retCode"] == 10001


def test_instruments_hide_what_does_not_trade_and_are_paged(bybit):
    first = ask(bybit, "instruments-info", category="linear", limit=3)["result"]
    rest = ask(bybit, "instruments-info", category="linear", limit=3, cursor=first["nextPageCursor"])[
        "result"
    ]
    names = [row["symbol"] for row in first["list"] + rest["list"]]
    assert len(names) == len(set(names)) == 5
    assert "SOONUSDT" not in names
    assert rest["nextPageCursor"] == ""
    waiting = ask(bybit, "instruments-info", category="linear", status="PreLaunch")["result"]["list"]
    assert [row["symbol"] for row in waiting] == ["SOONUSDT"]
    assert "nextPageCursor" not in ask(bybit, "instruments-info", category="spot")["result"]


def test_funding_changes_its_interval(bybit):
    rows = ask(bybit, "funding/history", category="linear", symbol="SOLUSDT", endTime=LAUNCH + 530 * DAY)
    stamps = [int(row["fundingRateTimestamp"]) for row in rows["result"]["list"]]
    gaps = {a - b for a, b in itertools.pairwise(stamps)}
    assert gaps == {2 * HOUR, 8 * HOUR}
    assert len(stamps) == 200


def test_open_interest_goes_back_by_cursor_and_ignores_a_lone_start(bybit):
    query = {"category": "linear", "symbol": "BTCUSDT", "intervalTime": "1h"}
    page = ask(bybit, "open-interest", **query, startTime=OPEN - 59 * HOUR, endTime=OPEN)["result"]
    rest = ask(
        bybit,
        "open-interest",
        **query,
        startTime=OPEN - 59 * HOUR,
        endTime=OPEN,
        cursor=page["nextPageCursor"],
    )["result"]
    stamps = [int(row["timestamp"]) for row in page["list"] + rest["list"]]
    assert stamps == [OPEN - k * HOUR for k in range(60)]
    assert rest["nextPageCursor"] == ""
    assert len(ask(bybit, "open-interest", **query, startTime=OPEN - 9 * HOUR)["result"]["list"]) == 50


def test_over_the_limit_the_address_is_banned():
    with LoopbackBybit(clock=NOW, limit=(3, 60.0)) as exchange:
        for _ in range(3):
            ask(exchange, "time")
        for _ in range(2):
            with pytest.raises(urllib.error.HTTPError) as refused:
                ask(exchange, "time")
            assert refused.value.code == 403
            refused.value.close()
        exchange.heal()
        assert ask(exchange, "time")["time"] == NOW


def test_a_fault_lets_requests_through_first(bybit):
    bybit.inject(RetCode(10016), on="/v5/market/time", skip=2)
    assert [ask(bybit, "time")["retCode"] for _ in range(4)] == [0, 0, 10016, 0]


def test_faults_come_in_the_order_of_planning(bybit):
    bybit.inject(RetCode(10016), on="/v5/market/time", times=2)
    bybit.inject(RetCode(10006), on="/v5/market/time")
    assert [ask(bybit, "time")["retCode"] for _ in range(4)] == [10016, 10016, 10006, 0]


@pytest.mark.parametrize(
    ("fault", "expected"), [(Reset(), OSError), (DieMidBody(), http.client.IncompleteRead)]
)
def test_connections_can_be_cut(bybit, fault, expected):
    bybit.inject(fault, on="/v5/market/time")
    with pytest.raises((expected, urllib.error.URLError)):
        ask(bybit, "time")
    assert [request.status for request in bybit.log] == [0]


def test_it_can_be_served_from_the_command_line():
    command = [sys.executable, "-m", "tests.bybit", "--port", "0", "--now", "2024-06-30T12:34Z"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            url = server.stdout.readline().strip()
            with urllib.request.urlopen(f"{url}/v5/market/time", timeout=5) as answer:  # noqa: S310
                assert json.load(answer)["time"] == 1_719_750_840_000
        finally:
            server.terminate()
        assert server.wait(10) == 0
