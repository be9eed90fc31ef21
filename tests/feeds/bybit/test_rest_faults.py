"""Other faults of REST requests: every endpoint, the network, clocks, revised bars, very slow responses."""

import datetime as dt
import ipaddress
import logging
import socket
import ssl
import threading
import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feeds.download.api import fetch
from feeds.errors import ExchangeRejected, ExchangeUnavailable
from feeds.store.keys import SeriesKey
from feeds.store.series_store import read_series
from tests.bybit import (
    DAY,
    HOUR,
    Corrupt,
    DieMidBody,
    Listing,
    LoopbackBybit,
    Mutate,
    Reset,
    Respond,
    RetCode,
    Trickle,
    market,
)
from tests.bybit.fixtures import NOW
from tests.bybit.market import as_matrix

pytestmark = pytest.mark.timeout(60)

END = NOW // HOUR * HOUR
START = END - 20 * HOUR
ENDPOINTS = {
    "time": ("/v5/market/time", lambda client, btc: client.server_time()),
    "instruments": ("/v5/market/instruments-info", lambda client, btc: client.markets("inverse")),
    "mark price": (
        "/v5/market/mark-price-kline",
        lambda client, btc: client.mark_klines(btc, "1h", START, END),
    ),
    "funding": ("/v5/market/funding/history", lambda client, btc: client.funding(btc, START, END)),
    "open interest": (
        "/v5/market/open-interest",
        lambda client, btc: client.open_interest(btc, "1h", START, END),
    ),
}
FAULTS = {
    "half": Corrupt(lambda body: body[: len(body) // 2]),
    "html": Respond(200, b"<html>"),
    "empty": Respond(200, b""),
    "null": Respond(200, b"null"),
    "524": Respond(524, b"<html>"),
    "10016": RetCode(10016),
    "10006": RetCode(10006),
    "reset": Reset(),
    "died in the body": DieMidBody(),
}


def expected(start=START, end=END):
    return market.bars("BTCUSDT", np.arange(start, end, HOUR, dtype=np.int64), HOUR, 2**62)


def plain(answer):
    """Convert the result of any method to a value that can be compared."""
    if not isinstance(answer, dict):
        return answer
    return {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in answer.items()}


def stored(folder, kind="1h"):
    return read_series(folder, SeriesKey("bybit", "BTC/USDT:USDT", kind), 0, 2**62).columns


def get(bybit, folder, since=START, **options):
    options = {"symbols": ["BTC/USDT:USDT"], "progress": False, **options}
    return fetch(since=since, base_url=bybit.url, data_dir=folder, **options)


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize(("path", "ask"), ENDPOINTS.values(), ids=ENDPOINTS)
def test_every_endpoint_is_retried_or_raises_an_error(connect, btc, bybit, path, ask, fault):
    right = plain(ask(connect(), btc))
    client = connect()
    bybit.inject(fault, on=path, times=2)
    assert plain(ask(client, btc)) == right
    failing = connect()
    bybit.inject(fault, on=path, times=99)
    with pytest.raises(ExchangeUnavailable, match="6 attempts"):
        ask(failing, btc)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_bytes_of_an_answer_are_lost_or_changed_no_bar_is_lost_or_invented(client, btc, bybit, data):
    def spoil(body):
        if data.draw(st.booleans()):
            return body[: data.draw(st.integers(0, len(body) - 1))]
        changed = bytearray(body)
        for _ in range(data.draw(st.integers(1, 3))):
            changed[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
        return bytes(changed)

    bybit.heal()
    bybit.inject(Corrupt(spoil))
    try:
        rows = client.klines(btc, "1h", START, END)
    except ExchangeRejected:
        return  # the change hit the retCode, so the response is an error
    # A changed digit of a price cannot be detected; a missing, additional or moved bar can.
    assert rows["timestamp"].tolist() == list(range(START, END, HOUR))
    assert all(np.isfinite(values).all() for values in rows.values())


def test_rows_that_come_twice_or_out_of_order_cost_no_request(client, btc, bybit):
    bybit.inject(Mutate(lambda r: {**r, "list": [*r["list"][5:], *r["list"][:9], *r["list"][3:7]]}))
    np.testing.assert_array_equal(as_matrix(client.klines(btc, "1h", START, END)), expected())
    assert len(bybit.requests()) == 1


@pytest.mark.parametrize("seconds", [0.05])
def test_a_very_slow_response_times_out(connect, bybit, seconds):
    client = connect(timeout=0.3, retry={"attempts": 2})
    btc = client.instrument("BTC/USDT:USDT")
    bybit.inject(Trickle(seconds), times=9)
    begin = time.monotonic()
    with pytest.raises(ExchangeUnavailable):
        client.klines(btc, "1h", START, END)
    assert time.monotonic() - begin < 5.0


# --- the network


def test_an_unknown_host_name_is_an_error(connect, monkeypatch):
    def unknown(*arguments, **options):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    client = connect(base_url="http://exchange.invalid")
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(ExchangeUnavailable, match="the time"):
        client.server_time()


@pytest.fixture
def self_signed(tmp_path):
    """Serve TLS with a self-signed certificate; yield the port and a list of the received requests."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    begin = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(begin)
        .not_valid_after(begin + dt.timedelta(days=9))
        .add_extension(address, critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "server.pem"
    pem.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    arrived = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            while True:
                try:
                    plain_socket, _ = listener.accept()
                except OSError:
                    return
                try:
                    with plain_socket, context.wrap_socket(plain_socket, server_side=True) as secure:
                        arrived.append(secure.recv(100))
                except OSError:
                    continue

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1], arrived
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def test_an_untrusted_certificate_is_rejected(connect, self_signed):
    port, arrived = self_signed
    client = connect(base_url=f"https://127.0.0.1:{port}", retry={"attempts": 2})
    with pytest.raises(ExchangeUnavailable, match=r"(?i)certificate verify failed"):
        client.server_time()
    assert arrived in ([], [b""])


def test_a_proxy_of_the_environment_is_not_used(connect, monkeypatch, bybit):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "")
    assert connect().server_time() == NOW


# --- clocks, delisting, revisions, inverse and mark prices


@pytest.mark.parametrize(("hours", "told"), [(0, False), (1, True), (-1, True)])
def test_a_wrong_machine_clock_is_reported_and_not_used(tmp_path, caplog, hours, told):
    now = int(time.time() * 1000) + hours * HOUR
    with LoopbackBybit(limit=(100_000, 5.0)) as exchange, caplog.at_level(logging.WARNING, "feeds"):
        exchange.time._offset, exchange.time.speed = float(now), 1.0
        exchange.clock = now
        get(exchange, tmp_path, since=now - 9 * HOUR)
        newest = exchange.now() // HOUR * HOUR - HOUR
    assert stored(tmp_path)["timestamp"][-1] == newest
    assert [("clock is" in record.message) for record in caplog.records] == ([True] if told else [])


def test_a_server_time_in_the_future_stores_no_open_candle(bybit, tmp_path):
    ahead = str(NOW + 3 * HOUR).encode()
    bybit.inject(Corrupt(lambda body: body.replace(str(NOW).encode(), ahead)), on="/v5/market/time")
    get(bybit, tmp_path)
    assert stored(tmp_path)["timestamp"][-1] == END - HOUR
    bybit.clock = NOW + HOUR
    get(bybit, tmp_path)
    np.testing.assert_array_equal(as_matrix(stored(tmp_path)), expected(START, END + HOUR))


def test_an_announced_delisting_is_reported(bybit, tmp_path, caplog):
    def announce(result):
        rows = [{**row, "deliveryTime": str(NOW + 5 * DAY)} for row in result["list"]]
        return {**result, "list": rows}

    bybit.inject(Mutate(announce), on="/v5/market/instruments-info")
    with caplog.at_level(logging.WARNING, "feeds"):
        get(bybit, tmp_path)
    assert any("will be delisted on 2024-07-05" in record.message for record in caplog.records)


def test_after_its_last_day_a_market_has_no_bars_and_that_is_no_error(bybit, tmp_path):
    bybit.lose_bars("BTCUSDT", range(END - 500 * HOUR, END, HOUR))
    bybit.lose_bars("BTCUSDT", range(END // DAY * DAY - 20 * DAY, END + DAY, DAY), DAY)
    [report] = get(bybit, tmp_path, since=END - 2_500 * HOUR)
    assert (report.rows, report.last) == (2_000, END - 501 * HOUR)
    bybit.log.clear()
    # The empty range after the last bar is recorded, except for the last day.
    get(bybit, tmp_path, since=END - 2_500 * HOUR)
    assert all(int(request.query["start"]) >= END - 40 * HOUR for request in bybit.requests())


def test_revised_values_are_stored_and_reported(bybit, tmp_path):
    get(bybit, tmp_path)
    bybit.clock = NOW + 2 * HOUR
    revised = END - 2 * HOUR

    def revise(result):
        rows = [[*row[:5], "7.5", row[6]] if int(row[0]) == revised else row for row in result["list"]]
        return {**result, "list": rows}

    bybit.inject(Mutate(revise))
    [report] = get(bybit, tmp_path)
    [revision] = report.revisions
    assert (revision.timestamp, revision.column, revision.now) == (revised, "volume", 7.5)
    rows = stored(tmp_path)
    assert rows["volume"][rows["timestamp"] == revised] == [7.5]
    assert report.requests == 1


def test_inverse_contracts_have_their_volume_in_the_base_coin(client, bybit):
    btc = client.instrument("BTC/USD:BTC")
    rows = client.klines(btc, "1h", START, END)
    raw = {int(row[0]): row for row in _raw(bybit)}
    assert rows["volume"].tolist() == [float(raw[t][6]) for t in rows["timestamp"].tolist()]


def _raw(bybit):
    from tests.bybit.test_rules import ask

    query = {"category": "inverse", "symbol": "BTCUSD", "interval": "60", "start": START, "end": END - HOUR}
    return ask(bybit, "kline", **query)["result"]["list"]


def test_mark_prices_are_downloaded_and_resumed_like_bars(bybit, tmp_path):
    reports = get(bybit, tmp_path, since=END - 1_500 * HOUR, mark=True)
    assert [(report.kind, report.rows, report.requests) for report in reports] == [
        ("bars", 1500, 2),
        ("mark", 1500, 2),
    ]
    assert "volume" not in stored(tmp_path, "mark_1h")
    assert [report.requests for report in get(bybit, tmp_path, since=END - 1_500 * HOUR, mark=True)] == [0, 0]


@pytest.mark.parametrize("timeframe", ["1m", "3m", "5m"])
def test_short_bars_have_the_open_interest_as_of_their_open_from_the_first_to_the_last(
    bybit, tmp_path, timeframe
):
    from feeds import load_bars

    since = NOW // HOUR * HOUR + 6 * 60_000
    options = {"base_url": bybit.url, "data_dir": tmp_path, "progress": False}
    frame = load_bars(f"bybit:BTC/USDT:USDT@{timeframe}", since=since, **options)
    listing = next(x for x in bybit.listings if x.symbol == "BTCUSDT" and x.category == "linear")
    values = dict(market.open_interest(listing, since - HOUR, NOW, 300_000))
    assert frame["open_interest"].tolist() == [values[t // 300_000 * 300_000] for t in frame["timestamp"]]
    again = load_bars(f"bybit:BTC/USDT:USDT@{timeframe}", since=since, offline=True, **options)
    assert again.equals(frame)


def test_a_series_that_the_exchange_rejects_leaves_the_others_whole(bybit, tmp_path):
    bybit.listings.append(Listing("ODDUSDT", "ODD", "USDT"))

    bybit.inject(RetCode(10001, "params error"), on="/v5/market/funding/history")
    with pytest.raises(ExchangeRejected, match="funding"):
        get(bybit, tmp_path, symbols=["BTC/USDT:USDT", "ODD/USDT:USDT"], funding=True)
    np.testing.assert_array_equal(as_matrix(stored(tmp_path)), expected())
