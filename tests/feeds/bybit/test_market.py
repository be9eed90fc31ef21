"""The client returns validated rows or raises an error: no missing rows, and no rows of another market."""

import json

import ccxt
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from feeds.bybit.market import Bybit
from feeds.bybit.parse import parse_instrument, parse_klines, unite
from feeds.bybit.wire import FAILURE_RULES, malformed
from feeds.errors import (
    BadSource,
    BadSymbol,
    BadTimeframe,
    ExchangeBanned,
    ExchangeRejected,
    ExchangeUnavailable,
)
from feeds.exchange.failures import Evidence, Failure, Malformed, classify, reset_delay
from feeds.exchange.retry import Retry
from feeds.instruments import Instrument
from tests.bybit import DAY, HOUR, Corrupt, DieMidBody, Hang, Listing, Mutate, Reset, Respond, RetCode, market
from tests.bybit.fixtures import NOW
from tests.bybit.market import as_matrix

END = NOW // HOUR * HOUR
START = END - 20 * HOUR
KLINE = "/v5/market/kline"
BTC = Instrument("BTC/USDT:USDT", "BTCUSDT", "linear", 0.1, 0.001, 0.001, 5.0, 480, None, True)
ROW = {
    "symbol": "BTCUSDT", "contractType": "LinearPerpetual", "baseCoin": "BTC", "quoteCoin": "USDT",
    "settleCoin": "USDT",
    "fundingInterval": 480, "status": "Trading", "launchTime": "1", "priceFilter": {"tickSize": "0.1"},
    "lotSizeFilter": {"qtyStep": "0.001", "minOrderQty": "0.001", "maxMktOrderQty": "100"},
}  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
)
HTML = b"<html><body>maintenance</body></html>"


def expected(start=START, end=END, symbol="BTCUSDT", step=HOUR):
    return market.bars(symbol, np.arange(start, end, step, dtype=np.int64), step, 2**62)


def envelope(**changes):
    return json.dumps({"retCode": 0, "retMsg": "OK", "result": {"list": []}, "time": NOW, **changes}).encode()


def test_bars_come_oldest_first_and_are_the_exchange_s(client, btc):
    rows = client.klines(btc, "1h", START, END)
    assert list(rows) == ["timestamp", "open", "high", "low", "close", "volume"]
    assert rows["timestamp"].dtype == np.int64
    np.testing.assert_array_equal(as_matrix(rows), expected())


@pytest.mark.parametrize(("timeframe", "step"), [("1m", 60_000), ("4h", 4 * HOUR), ("1d", DAY)])
def test_every_bar_size_is_asked_for_by_the_exchange_s_name(client, btc, timeframe, step):
    end = END // step * step
    rows = client.klines(btc, timeframe, end - 5 * step, end)
    np.testing.assert_array_equal(as_matrix(rows), expected(end - 5 * step, end, step=step))


@pytest.mark.parametrize("after", [-1, 0, 299, 300])
@pytest.mark.parametrize("closed_for", [0, 300])
def test_the_response_s_timestamp_decides_which_bars_are_closed(client, bybit, btc, after, closed_for):
    # The exchange sets the timestamp of a response shortly after it read the bar. The bar may have closed meanwhile.
    bybit.clock = END + after
    rows = client.klines(btc, "1h", END - 2 * HOUR, END, closed_for=closed_for)
    assert len(rows["timestamp"]) == (2 if after >= closed_for else 1)


def test_spot_and_linear_are_different_markets(client, bybit):
    assert client.instrument("BTC/USDT").category == "spot"
    client.klines(client.instrument("BTC/USDT"), "1h", START, END)
    assert bybit.requests()[-1].query["category"] == "spot"


BROKEN = {
    "truncated": Corrupt(lambda body: body[: len(body) // 2]),
    "html": Respond(200, HTML, content_type="text/html"),
    "empty": Respond(200, b""),
    "null": Respond(200, b"null"),
    "text": Respond(200, b'"str"'),
    "number": Respond(200, b"1"),
    "array": Respond(200, b"[]"),
    "garbage": Respond(200, b"\xff\xfe\x00garbage"),
    "result null": Respond(200, envelope(result=None)),
    "result text": Respond(200, envelope(result="x")),
    "no list": Respond(200, envelope(result={})),
    "list null": Respond(200, envelope(result={"list": None})),
    "list of null": Respond(200, envelope(result={"list": [None]})),
    "list of texts": Respond(200, envelope(result={"list": ["a"]})),
    "no retCode": Respond(200, b'{"result": {"list": []}}'),
    "retCode null": Respond(200, envelope(retCode=None)),
    "reset": Reset(),
    "died in the body": DieMidBody(),
    "system error": RetCode(10016),
    "server timeout": RetCode(5004),
    "internal error": RetCode(170001),
    "network error": RetCode(170032),
    "too many visits": RetCode(10006),
    "address over its rate": RetCode(10018),
    "unknown code": RetCode(987654),
    "500": Respond(500, HTML),
    "502": Respond(502, b""),
    "503": Respond(503, b"{}"),
    "504": Respond(504, HTML),
    "524": Respond(524, HTML),
    "408": Respond(408),
    "429": Respond(429, b""),
}


@pytest.mark.parametrize("fault", BROKEN.values(), ids=BROKEN)
def test_a_broken_response_is_requested_again(client, btc, bybit, fault, slept):
    bybit.inject(fault, times=2)
    np.testing.assert_array_equal(as_matrix(client.klines(btc, "1h", START, END)), expected())
    assert len(bybit.requests()) == client.counts[KLINE] == 3
    assert len(slept) == 2


@pytest.mark.parametrize("fault", BROKEN.values(), ids=BROKEN)
def test_a_response_that_stays_broken_is_an_error(client, btc, bybit, fault):
    bybit.inject(fault, times=99)
    with pytest.raises(ExchangeUnavailable, match="6 attempts") as failed:
        client.klines(btc, "1h", START, END)
    assert "1h bars of BTC/USDT:USDT from 2024-06-29T16:00:00Z" in str(failed.value)
    assert "run the same command again" in str(failed.value)
    assert len(bybit.requests()) == 6


def cell(row, column, value):
    def change(result):
        result["list"][row][column] = value
        return result

    return Mutate(change)


def extra(row):
    return Mutate(lambda result: {**result, "list": [*result["list"], row]})


GOOD = ["100", "110", "90", "105", "1", "1"]
WRONG_ROWS = {
    "NaN": (cell(3, 4, "NaN"), "'close': expected a finite number, found 'NaN'"),
    "inf": (cell(3, 2, "inf"), "'high'"),
    "empty text": (cell(3, 1, ""), "'open'"),
    "letters": (cell(3, 5, "abc"), "'volume'"),
    "null": (cell(3, 1, None), "'open'"),
    "true": (cell(3, 1, True), "'open'"),
    "zero": (cell(3, 3, "0"), "not positive"),
    "negative price": (cell(3, 3, "-1"), "not positive"),
    "negative volume": (cell(3, 5, "-1"), "negative volume"),
    "high too low": (cell(3, 2, "0.01"), "high below"),
    "low too high": (cell(3, 3, "1000000"), "low above"),
    "before the window": (extra([str(START - HOUR), *GOOD]), "outside the window"),
    "after the window": (extra([str(END), *GOOD]), "outside the window"),
    "seconds": (cell(3, 0, str(END // 1000)), "outside the window"),
    "off the grid": (cell(3, 0, str(START + 1)), "multiple of 60 minutes"),
    "a date": (cell(3, 0, "2024-06-30"), "timestamp in ms"),
    "short row": (extra([str(START)]), "expected a row"),
    "other symbol": (Mutate(lambda result: {**result, "symbol": "ETHUSDT"}), "found 'ETHUSDT'"),
    "no symbol": (Mutate(lambda result: {"list": result["list"]}), "found None"),
    "two bars at one time": (extra([str(START), *GOOD]), "two different rows for 2024-06-29T16:00:00Z"),
}


@pytest.mark.parametrize(("fault", "reason"), WRONG_ROWS.values(), ids=WRONG_ROWS)
def test_an_invalid_row_is_rejected_and_named(client, btc, bybit, fault, reason):
    bybit.inject(fault)
    np.testing.assert_array_equal(as_matrix(client.klines(btc, "1h", START, END)), expected())
    bybit.inject(fault, times=6)
    with pytest.raises(ExchangeUnavailable, match=reason.replace("(", r"\(")):
        client.klines(btc, "1h", START, END)


def test_a_request_without_a_response_times_out(connect, bybit):
    client = connect(timeout=0.2)
    btc = client.instrument("BTCUSDT")
    bybit.inject(Hang(1.0))
    np.testing.assert_array_equal(as_matrix(client.klines(btc, "1h", START, END)), expected())
    assert client.counts[KLINE] == 2


def test_a_refused_connection_is_an_error(connect):
    client = connect(base_url="http://127.0.0.1:9")
    with pytest.raises(ExchangeUnavailable, match="the time"):
        client.server_time()


FINAL = [
    (RetCode(10001, "params error"), ExchangeRejected, "params error"),
    (RetCode(10003), ExchangeRejected, "rejected"),
    (RetCode(10010), ExchangeRejected, "rejected"),
    (RetCode(10029), ExchangeRejected, "rejected"),
    (Respond(400, HTML), ExchangeRejected, "rejected"),
    (Respond(401), ExchangeRejected, "rejected"),
    (Respond(404, HTML), ExchangeRejected, "rejected"),
    (Respond(403, b"access too frequent"), ExchangeBanned, "HTTP 403"),
    (Respond(403, HTML), ExchangeBanned, "region"),
    (Respond(451, HTML), ExchangeBanned, "HTTP 451"),
    (RetCode(10009), ExchangeBanned, "retCode 10009"),
]


@pytest.mark.parametrize(("fault", "error", "text"), FINAL)
def test_a_fatal_failure_is_not_retried(client, btc, bybit, slept, fault, error, text):
    bybit.inject(fault, times=99)
    with pytest.raises(error, match=text):
        client.klines(btc, "1h", START, END)
    assert len(bybit.requests()) == 1
    assert slept == []


def test_a_ban_stops_every_request(client, btc, bybit):
    bybit.inject(Respond(403, b"access too frequent"))
    with pytest.raises(ExchangeBanned, match="run the same command again in 10 minutes or later"):
        client.klines(btc, "1h", START, END)
    before = len(bybit.log)
    for request in (
        client.server_time,
        lambda: client.klines(btc, "1h", START, END),
        lambda: client.funding(btc, START, END),
        lambda: client.markets("spot"),
    ):
        with pytest.raises(ExchangeBanned):
            request()
    assert len(bybit.log) == before


def test_waits_grow_are_capped_and_carry_jitter():
    steady = Retry(jitter=lambda: 1.0)
    assert [steady.delay(k, Failure.TRANSIENT) for k in range(7)] == [0.5, 1, 2, 4, 8, 16, 20]
    assert Retry(jitter=lambda: 0.0).delay(3, Failure.TRANSIENT) == 2.0


@pytest.mark.parametrize(
    "fault",
    [
        RetCode(10006, headers={"X-Bapi-Limit-Reset-Timestamp": str(NOW + 7000)}),
        RetCode(10018, headers={"Retry-After": "7"}),
        Respond(429, headers={"Retry-After": "7"}),
    ],
)
def test_the_exchange_s_reset_header_is_honoured(client, btc, bybit, slept, fault):
    bybit.inject(fault)
    client.klines(btc, "1h", START, END)
    assert slept == [pytest.approx(7.5, abs=1e-6)]


def test_the_total_wait_is_bounded(connect, bybit, slept):
    client = connect(retry={"budget": 60.0})
    bybit.inject(RetCode(10006, headers={"Retry-After": "50"}), on="/v5/market/time", times=99)
    with pytest.raises(ExchangeUnavailable, match="2 attempts, throttled"):
        client.server_time()
    assert len(slept) == 1


def test_reset_headers_that_say_nothing_count_as_none():
    assert reset_delay({"Retry-After": "soon", "X-Bapi-Limit-Reset-Timestamp": ""}, 0.0, FAILURE_RULES) == 0.0
    assert reset_delay({"X-Bapi-Limit-Reset-Timestamp": "1000"}, 5.0, FAILURE_RULES) == 0.0


@pytest.mark.parametrize("reset", ["60001", "3600000", "9" * 15])
def test_a_reset_further_away_than_any_window_is_a_clock_that_differs(reset):
    assert reset_delay({"X-Bapi-Limit-Reset-Timestamp": "60000"}, 0.0, FAILURE_RULES) == 60.0
    assert reset_delay({"X-Bapi-Limit-Reset-Timestamp": reset}, 0.0, FAILURE_RULES) == 0.0
    assert reset_delay({"Retry-After": "9" * 15}, 0.0, FAILURE_RULES) == 86_400.0


def test_a_reset_an_hour_ahead_of_this_machine_delays_a_download_only_by_the_back_off(
    client, btc, bybit, slept
):
    headers = {"X-Bapi-Limit-Reset-Timestamp": str(NOW + 3_600_000)}
    bybit.inject(RetCode(10006, headers=headers), times=2)
    np.testing.assert_array_equal(as_matrix(client.klines(btc, "1h", START, END)), expected())
    assert sum(slept) <= 1.5


@pytest.mark.parametrize(
    ("error", "evidence", "failure"),
    [
        # The error of the asynchronous client after a lost connection, and of ccxt after a TLS failure.
        (ccxt.ExchangeError(), Evidence(), Failure.TRANSIENT),
        (ccxt.RequestTimeout(), Evidence(), Failure.TRANSIENT),
        (ccxt.BadResponse(), Evidence(200), Failure.TRANSIENT),
        (ccxt.DDoSProtection(), Evidence(), Failure.THROTTLED),
        (ccxt.BadSymbol(), Evidence(200, 12201), Failure.FATAL),
        (ccxt.PermissionDenied(), Evidence(200, 10020), Failure.FATAL),
        # The table overrides ccxt's class.
        (ccxt.ExchangeError(), Evidence(200, 10016), Failure.TRANSIENT),
        (ccxt.AuthenticationError(), Evidence(200, 10009), Failure.BANNED),
        (ccxt.RateLimitExceeded(), Evidence(403, 10018), Failure.BANNED),
        (ccxt.ExchangeNotAvailable(), Evidence(404), Failure.FATAL),
        (ccxt.ExchangeError(), Evidence(524), Failure.TRANSIENT),
    ],
)
def test_one_table_classifies_all_failures(error, evidence, failure):
    assert classify(error, evidence, FAILURE_RULES) is failure


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.sampled_from(["retCode", "result", "list", "x"]), x),
    )
)
def test_a_response_is_complete_or_the_error_names_the_problem(answer):
    wrong = malformed("http://h/v5/market/kline?x=1", answer)
    if wrong is None and int(answer["retCode"]) == 0:
        assert all(isinstance(row, list | dict) for row in answer["result"]["list"])


@given(st.permutations(range(8)), st.lists(st.integers(0, 7), max_size=6))
def test_order_and_repetition_of_rows_do_not_matter(order, repeated):
    bars = expected(START, START + 8 * HOUR)
    rows = [[str(int(bar[0])), *map(str, bar[1:])] for bar in bars]
    shuffled = {"symbol": "BTCUSDT", "list": [rows[k] for k in [*order, *repeated]]}
    table = parse_klines(shuffled, BTC, START, END, HOUR)
    np.testing.assert_array_equal(as_matrix(table), bars)


def test_tables_unite_unless_they_disagree():
    one = {"timestamp": np.array([1, 2]), "x": np.array([1.0, 2.0])}
    two = {"timestamp": np.array([2, 0]), "x": np.array([2.0, 0.0])}
    assert unite(one, two)["x"].tolist() == [0.0, 1.0, 2.0]
    with pytest.raises(Malformed, match="two different rows"):
        unite(one, {**two, "x": np.array([9.0, 0.0])})


def test_windows_are_never_wider_than_an_answer(client, btc, bybit):
    for start, end in [(END - 1001 * HOUR, END), (START, START), (START + 1, END), (END, START)]:
        with pytest.raises(BadSource, match="1 to 1000 bars"):
            client.klines(btc, "1h", start, end)
    assert bybit.log == []
    assert len(client.klines(btc, "1h", END - 1000 * HOUR, END)["timestamp"]) == 1000


def test_server_time_is_the_exchange_s(client):
    assert client.server_time() == NOW


def test_instruments_carry_the_rules_of_an_order(client):
    btc, spot = client.instrument("BTC/USDT:USDT"), client.instrument("BTC/USDT")
    assert (btc.tick, btc.lot_step, btc.min_quantity, btc.min_notional) == (0.1, 0.001, 0.001, 5.0)
    assert (btc.funding_minutes, btc.launch, btc.active) == (480, 1_640_995_200_000, True)
    assert (spot.tick, spot.lot_step, spot.min_notional, spot.funding_minutes) == (0.01, 1e-6, 5.0, None)
    assert not client.instrument("SOON/USDT:USDT").active


def test_the_exchange_s_own_name_is_an_alias_of_the_perpetual(client):
    assert client.instrument("BTCUSDT") == client.instrument("BTC/USDT:USDT")


def test_resolving_asks_for_no_more_than_it_takes(client, bybit):
    client.instrument("BTC/USDT:USDT")
    client.instrument("ETHUSDT")
    assert [request.query["category"] for request in bybit.log] == ["linear", "linear"]
    assert bybit.log[1].query["status"] == "PreLaunch"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("SOL/USDT", "on the spot market; the linear perpetual is 'SOL/USDT:USDT'"),
        ("BTC/USDT:BTC", "the linear perpetual is 'BTC/USDT:USDT'"),
        ("btc/usdt:usdt", "did you mean 'BTC/USDT:USDT'?"),
        ("BTCUSDD", "did you mean 'BTC/USD"),
        ("BTC/USD", "did you mean|inverse"),
        ("BTC/USD:USD", "the inverse perpetual is 'BTC/USD:BTC'"),
        ("ETHUSTD", "did you mean 'ETH/USDT:USDT'"),
        ("PEPEUSDT", "did you mean '1000PEPE/USDT:USDT'"),
        ("../../etc/passwd", "a perpetual is written 'BTC/USDT:USDT', an inverse one"),
        ("", "a perpetual is written"),
    ],
)
def test_an_unknown_symbol_is_refused_with_a_hint(client, bybit, name, hint):
    with pytest.raises(BadSymbol, match=hint):
        client.instrument(name)
    assert bybit.requests() == []


def test_all_pages_of_instruments_are_read(client, bybit):
    bybit.listings += [Listing(f"C{k}USDT", f"C{k}", "USDT") for k in range(1500)]
    assert client.instrument("C1499/USDT:USDT").id == "C1499USDT"
    assert client.instrument("BTC/USDT:USDT").id == "BTCUSDT"


@pytest.mark.parametrize("path_fault", [Respond(200, HTML), Respond(200, envelope()), RetCode(10016)])
def test_instruments_are_never_taken_from_a_broken_answer(client, bybit, path_fault):
    bybit.inject(path_fault, on="/v5/market/instruments-info", times=2)
    assert client.instrument("BTC/USDT:USDT").id == "BTCUSDT"


@pytest.mark.parametrize("interval", [0, "0", None, "", "hourly", -480, 480.5, "9" * 5000])
def test_an_interval_of_settlements_that_is_none_is_not_believed(interval):
    assert parse_instrument(ROW, "linear").funding_minutes == 480
    assert parse_instrument({**ROW, "fundingInterval": interval}, "linear").funding_minutes is None


@settings(max_examples=30)
@example(field="priceFilter", value=10**400, inner="tickSize")
@given(field=st.sampled_from(["priceFilter", "lotSizeFilter", "fundingInterval", "launchTime", "status"]),
       value=JSON, inner=st.sampled_from(["tickSize", "qtyStep", "minOrderQty", "maxMktOrderQty"]))  # fmt: skip
def test_an_instrument_with_one_strange_field_is_refused_or_plain(field, value, inner):
    row = {**ROW, field: {**ROW[field], inner: value} if field.endswith("Filter") else value}
    try:
        found = parse_instrument(row, "linear")
    except Malformed:
        return
    assert found.funding_minutes is None or found.funding_minutes > 0
    assert all(0 <= rule < float("inf") for rule in (found.tick, found.lot_step, found.max_quantity))


def test_no_instruments_at_all_is_an_error(client, bybit):
    bybit.listings.clear()
    with pytest.raises(ExchangeUnavailable, match="expected instruments, found none"):
        client.instrument("BTC/USDT:USDT")


def test_funding_gives_the_newest_of_a_window(client, btc, bybit):
    rows = client.funding(btc, END - 400 * DAY, END)
    settled = market.funding(bybit.listings[0], END - 400 * DAY, END - 1)[-200:]
    assert list(zip(rows["timestamp"].tolist(), rows["funding_rate"].tolist(), strict=True)) == settled


def test_open_interest_follows_the_cursor_of_a_page_cut_short(client, btc, bybit):
    def half(result):
        kept = result["list"][:90]
        return {**result, "list": kept, "nextPageCursor": str(int(kept[-1]["timestamp"]) - 1)}

    bybit.inject(Mutate(half), on="/v5/market/open-interest")
    rows = client.open_interest(btc, "1h", END - 200 * HOUR, END)
    values = market.open_interest(bybit.listings[0], END - 200 * HOUR, END - 1, HOUR)
    assert list(zip(rows["timestamp"].tolist(), rows["open_interest"].tolist(), strict=True)) == values
    assert len(bybit.requests("/v5/market/open-interest")) == 2


def test_a_cursor_that_leads_nowhere_ends(client, btc, bybit):
    short = Mutate(lambda result: {**result, "list": result["list"][:90], "nextPageCursor": str(NOW)})
    bybit.inject(short, on="/v5/market/open-interest", times=99)
    assert len(client.open_interest(btc, "1h", END - 200 * HOUR, END)["timestamp"]) == 90
    assert len(bybit.requests("/v5/market/open-interest")) == 2


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("funding/history", Mutate(lambda r: {"list": [{**row, "symbol": "ETHUSDT"} for row in r["list"]]})),
        ("funding/history", Mutate(lambda r: {"list": [{**row, "fundingRate": "NaN"} for row in r["list"]]})),
        ("funding/history", Mutate(lambda r: {"list": [["a"]]})),
        ("open-interest", Mutate(lambda r: {**r, "symbol": "ETHUSDT"})),
        (
            "open-interest",
            Mutate(lambda r: {**r, "list": [{**row, "openInterest": "-1"} for row in r["list"]]}),
        ),
        ("open-interest", Mutate(lambda r: {**r, "list": [{"openInterest": "1"}]})),
    ],
)
def test_funding_and_open_interest_are_checked_like_bars(client, btc, bybit, path, fault):
    bybit.inject(fault, on=f"/v5/market/{path}")
    client.funding(btc, START, END)
    client.open_interest(btc, "1h", START, END)
    assert len(bybit.requests(f"/v5/market/{path}")) == 2


def test_open_interest_has_its_own_intervals(client, btc):
    with pytest.raises(BadTimeframe, match="5m, 15m, 30m, 1h, 4h, 1d"):
        client.open_interest(btc, "2h", START, END)


@pytest.mark.parametrize(
    "url", ["127.0.0.1:80", "ftp://h", "http://", "http://h/path", "http://u@h", "http://h?x"]
)
def test_a_base_url_names_a_host(url):
    with pytest.raises(BadSource, match="expected a base URL such as"):
        Bybit(base_url=url)
