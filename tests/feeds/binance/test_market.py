"""The client returns validated rows of Binance or raises an error, by the same rules as for Bybit."""

import numpy as np
import pytest

from feeds.errors import (
    BadSource,
    BadSymbol,
    ExchangeBanned,
    ExchangeRejected,
    ExchangeUnavailable,
)
from tests.binance import Refuse
from tests.binance.rules import weight
from tests.bybit import DAY, HOUR, MINUTE, Corrupt, DieMidBody, Hang, Mutate, Reset, Respond, Trickle, market
from tests.bybit.fixtures import NOW
from tests.bybit.market import as_matrix

pytestmark = pytest.mark.timeout(60)

END = NOW // HOUR * HOUR
START = END - 20 * HOUR
KLINES, MARK, FUNDING = "/fapi/v1/klines", "/fapi/v1/markPriceKlines", "/fapi/v1/fundingRate"
TIME, INFO, INTERVALS = "/fapi/v1/time", "/fapi/v1/exchangeInfo", "/fapi/v1/fundingInfo"
HTML = b"<html><body>maintenance</body></html>"


def expected(start=START, end=END, step=HOUR, scale=1.0):
    return market.bars("BTCUSDT", np.arange(start, end, step, dtype=np.int64), step, 2**62, scale)


def test_bars_come_oldest_first_and_are_the_exchange_s(client, btc, binance):
    rows = client.klines(btc, "1h", START, END, closed_for=0)
    assert list(rows) == ["timestamp", "open", "high", "low", "close", "volume"]
    assert rows["timestamp"].dtype == np.int64
    np.testing.assert_array_equal(as_matrix(rows), expected())
    # The bar after the window proves that the bars inside have closed, so there is no further request.
    assert [request.path for request in binance.log] == [KLINES]


@pytest.mark.parametrize(("timeframe", "step"), [("1m", MINUTE), ("4h", 4 * HOUR), ("1d", DAY)])
def test_every_bar_size_is_asked_for_by_the_exchange_s_name(client, btc, timeframe, step):
    end = END // step * step
    rows = client.klines(btc, timeframe, end - 5 * step, end)
    np.testing.assert_array_equal(as_matrix(rows), expected(end - 5 * step, end, step))


def test_a_bar_without_a_later_one_is_judged_by_the_clock_read_before_it(client, btc, binance):
    rows = client.klines(btc, "1h", START, END + HOUR, closed_for=0)
    assert rows["timestamp"][-1] == END - HOUR
    assert [request.path for request in binance.log] == [KLINES, TIME, KLINES]
    binance.clock = END + HOUR + 100
    assert client.klines(btc, "1h", START, END + HOUR, closed_for=300)["timestamp"][-1] == END - HOUR
    binance.clock = END + HOUR + 300
    assert client.klines(btc, "1h", START, END + HOUR, closed_for=300)["timestamp"][-1] == END


def test_the_open_bar_is_there_when_it_is_wanted(client, btc):
    assert client.klines(btc, "1h", START, END + HOUR)["timestamp"][-1] == END


def test_mark_prices_have_no_volume(client, btc):
    rows = client.mark_klines(btc, "1h", START, END, closed_for=0)
    assert "volume" not in rows
    np.testing.assert_array_equal(as_matrix(rows), expected(scale=1.0002)[:, :5])


def test_funding_stands_on_the_minute_and_comes_oldest_first(client, btc, binance):
    first = END - 400 * DAY
    rows = client.funding(btc, first, END)
    settled = market.funding(binance.listings[0], first, END - 1)[:1000]
    assert len(settled) == 1000
    assert list(zip(rows["timestamp"].tolist(), rows["funding_rate"].tolist(), strict=True)) == settled


@pytest.mark.parametrize("shift", [0, 1, 11, MINUTE])
def test_a_late_stamp_puts_no_settlement_into_the_wrong_window(client, btc, binance, shift):
    # The loopback sets settlement times up to 11 ms late; each settlement must be in exactly one window.
    cut = END // (8 * HOUR) * 8 * HOUR + shift
    both = [client.funding(btc, cut - 3 * DAY, cut), client.funding(btc, cut, END + 1)]
    found = [stamp for rows in both for stamp in rows["timestamp"].tolist()]
    assert found == [stamp for stamp, _ in market.funding(binance.listings[0], cut - 3 * DAY, END)]


def test_instruments_carry_the_rules_of_an_order(client):
    btc = client.instrument("BTCUSDT")
    assert (btc.symbol, btc.id, btc.category) == ("BTC/USDT:USDT", "BTCUSDT", "linear")
    assert (btc.tick, btc.lot_step, btc.min_quantity, btc.min_notional) == (0.1, 0.001, 0.001, 5.0)
    assert (btc.max_quantity, btc.funding_minutes, btc.delivery, btc.active) == (120.0, 480, None, True)
    assert not client.instrument("SOON/USDT:USDT").active
    assert "BTCUSDT_240927" not in {found.id for found in client.markets("linear").values()}


def test_an_interval_of_its_own_comes_from_funding_info(client, binance):
    binance.listings[1] = type(binance.listings[1])("ETHUSDT", "ETH", "USDT", funding=((0, 240),))
    assert client.instrument("ETHUSDT").funding_minutes == 240


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        (
            "BTC/USDT",
            "binance lists no 'BTC/USDT' on the spot market; the linear perpetual is 'BTC/USDT:USDT'",
        ),
        ("ETHUSTD", "did you mean 'ETH/USDT:USDT'"),
        ("", "a perpetual is written 'BTC/USDT:USDT'$"),
    ],
)
def test_an_unknown_symbol_is_refused_with_a_hint(client, name, hint):
    with pytest.raises(BadSymbol, match=hint):
        client.instrument(name)


@pytest.mark.parametrize("bars", [0, 1000])
def test_windows_are_never_wider_than_an_answer(client, btc, binance, bars):
    with pytest.raises(BadSource, match="1 to 999 bars"):
        client.klines(btc, "1h", END - bars * HOUR, END)
    assert binance.log == []


BROKEN = {
    "half": Corrupt(lambda body: body[: len(body) // 2]),
    "html": Respond(200, HTML, content_type="text/html"),
    "empty": Respond(200, b""),
    "null": Respond(200, b"null"),
    "text": Respond(200, b'"str"'),
    "object": Respond(200, b"{}"),
    "list of null": Respond(200, b"[null]"),
    "list of texts": Respond(200, b'["a"]'),
    "garbage": Respond(200, b"\xff\xfe\x00garbage"),
    "deep": Corrupt(lambda body: b"[" * 100_000),
    "reset": Reset(),
    "died in the body": DieMidBody(),
    "500": Respond(500, HTML),
    "502": Respond(502, b""),
    "503": Refuse(-1008, 503),
    "408": Refuse(-1007, 408),
    "429": Refuse(-1003, 429),
    "internal error": Refuse(-1001),
}


@pytest.mark.parametrize("fault", BROKEN.values(), ids=BROKEN)
def test_a_broken_response_is_requested_again_or_is_an_error(client, btc, binance, fault, slept):
    binance.inject(fault, times=2)
    np.testing.assert_array_equal(as_matrix(client.klines(btc, "1h", START, END)), expected())
    assert len(binance.requests()) == client.counts[KLINES] == 3
    assert len(slept) == 2
    binance.inject(fault, times=6)
    with pytest.raises(ExchangeUnavailable, match=r"binance: the request for 1h bars of BTC.*6 attempts"):
        client.klines(btc, "1h", START, END)


OTHERS = {
    TIME: lambda client, btc: client.server_time(),
    INFO: lambda client, btc: len(client.markets("linear")),
    INTERVALS: lambda client, btc: len(client.markets("linear")),
    MARK: lambda client, btc: as_matrix(client.mark_klines(btc, "1h", START, END)).tolist(),
    FUNDING: lambda client, btc: as_matrix(client.funding(btc, START, END)).tolist(),
}


@pytest.mark.parametrize("name", ["half", "html", "null", "list of texts", "502", "reset"])
@pytest.mark.parametrize("path", OTHERS)
def test_every_endpoint_is_retried_or_raises_an_error(connect, btc, binance, path, name):
    right = OTHERS[path](connect(), btc)
    binance.inject(BROKEN[name], on=path, times=2)
    assert OTHERS[path](connect(), btc) == right
    binance.inject(BROKEN[name], on=path, times=99)
    with pytest.raises(ExchangeUnavailable, match="6 attempts"):
        OTHERS[path](connect(), btc)


def cell(column, value):
    def change(rows):
        rows[3][column] = value
        return rows

    return Mutate(change)


def extra(stamp, *cells):
    row = [stamp, *cells, "1", stamp + HOUR - 1, "0", 1, "0", "0", "0"]
    return Mutate(lambda rows: [*rows, row])


GOOD = ["100", "110", "90", "105"]
WRONG_ROWS = {
    "NaN": (cell(4, "NaN"), "'close': expected a finite number, found 'NaN'"),
    "inf": (cell(2, "inf"), "'high'"),
    "null": (cell(1, None), "'open'"),
    "zero": (cell(3, "0"), "not positive"),
    "negative price": (cell(3, "-1"), "not positive"),
    "negative volume": (cell(5, "-1"), "negative volume"),
    "high too low": (cell(2, "0.01"), "high below"),
    "low too high": (cell(3, "1000000"), "low above"),
    "another bar size": (cell(6, START), "expected bars of 60 minutes"),
    "before the window": (extra(START - HOUR, *GOOD), "outside the window"),
    "after the window": (extra(END + HOUR, *GOOD), "outside the window"),
    "off the grid": (extra(START + 1, *GOOD), "multiple of 60 minutes"),
    "a date": (cell(0, "2024-06-30"), "timestamp in ms"),
    "short row": (Mutate(lambda rows: [*rows, rows[0][:6]]), "a row with 12 fields"),
    "two bars at one time": (extra(START, *GOOD), "two different rows for 2024-06-29T16:00:00Z"),
}


@pytest.mark.parametrize(("fault", "reason"), WRONG_ROWS.values(), ids=WRONG_ROWS)
def test_an_invalid_row_is_rejected_and_named(client, btc, binance, fault, reason):
    binance.inject(fault)
    np.testing.assert_array_equal(as_matrix(client.klines(btc, "1h", START, END)), expected())
    binance.inject(fault, times=6)
    with pytest.raises(ExchangeUnavailable, match=reason):
        client.klines(btc, "1h", START, END)


def test_rows_that_come_twice_or_out_of_order_cost_no_request(client, btc, binance):
    binance.inject(Mutate(lambda rows: [*rows[5:], *rows[:9], *rows[3:7]]))
    np.testing.assert_array_equal(as_matrix(client.klines(btc, "1h", START, END)), expected())
    assert len(binance.requests()) == 1


@pytest.mark.parametrize(
    "change",
    [{"symbol": "ETHUSDT"}, {"fundingRate": "NaN"}, {"fundingTime": START + 30_000}, {"fundingTime": 1}],
)
def test_funding_is_checked_like_bars(client, btc, binance, change):
    binance.inject(Mutate(lambda rows: [{**row, **change} for row in rows]), on=FUNDING)
    assert len(client.funding(btc, START, END)["timestamp"]) == 3  # 16:00, 00:00, 08:00
    assert len(binance.requests(FUNDING)) == 2


@pytest.mark.parametrize(
    ("fault", "error", "text"),
    [
        (Refuse(-1121), ExchangeRejected, "binance rejected the request for 1h bars"),
        (Refuse(-1120), ExchangeRejected, "-1120"),
        (Respond(404, HTML), ExchangeRejected, "rejected"),
        (Respond(403, HTML), ExchangeBanned, "HTTP 403"),
        (Respond(451, HTML), ExchangeBanned, "region"),
        (Refuse(-1003, 418), ExchangeBanned, "in 10 minutes or later"),
        (Respond(418, b"", {"Retry-After": "7200"}), ExchangeBanned, "HTTP 418.*in 120 minutes or later"),
    ],
)
def test_a_fatal_failure_is_not_retried(client, btc, binance, slept, fault, error, text):
    binance.inject(fault, times=99)
    with pytest.raises(error, match=text):
        client.klines(btc, "1h", START, END)
    assert len(binance.requests()) == 1
    assert slept == []


def test_a_ban_stops_every_request(client, btc, binance):
    binance.inject(Refuse(-1003, 418))
    with pytest.raises(ExchangeBanned):
        client.klines(btc, "1h", START, END)
    before = len(binance.log)
    for request in (client.server_time, lambda: client.funding(btc, START, END)):
        with pytest.raises(ExchangeBanned):
            request()
    assert len(binance.log) == before


def test_retry_after_is_honoured(client, btc, binance, slept):
    binance.inject(Respond(429, b"", {"Retry-After": "7"}))
    client.klines(btc, "1h", START, END)
    assert slept == [pytest.approx(7.5)]


@pytest.mark.parametrize("fault", [Hang(1.0), Trickle(0.01)])
def test_missing_and_very_slow_responses_time_out(connect, binance, fault):
    client = connect(timeout=0.3)
    btc = client.instrument("BTCUSDT")
    binance.inject(fault)
    np.testing.assert_array_equal(as_matrix(client.klines(btc, "1h", START, END)), expected())
    assert client.counts[KLINES] == 2


def test_a_symbol_that_the_exchange_does_not_know_is_refused(client, btc):
    from dataclasses import replace

    with pytest.raises(ExchangeRejected, match="Invalid symbol"):
        client.klines(replace(btc, id="NOPE"), "1h", START, END)


def test_open_interest_is_not_offered(client, btc):
    with pytest.raises(BadSource, match=r"binance offers no history of open interest: .* 30 days"):
        client.open_interest(btc, "1h", START, END)


@pytest.mark.parametrize("limit", [1, 99, 100, 499, 500, 1000, 1001, 1500])
def test_a_request_counts_by_the_rows_asked_for(limit):
    from feeds.binance.wire import CCXT_RULES

    assert CCXT_RULES.weight("klines", {"limit": limit}) == weight(KLINES, {"limit": str(limit)})
