"""The three strict ccxt clients: their URLs, timeouts and the facts attached to their errors."""

import asyncio
import threading
import time

import pytest

from feeds.bybit.wire import CCXT_RULES, FAILURE_RULES
from feeds.exchange.access import Access, Credentials
from feeds.exchange.ccxt_clients import (
    AsyncClient,
    ClientError,
    ProClient,
    SyncClient,
    evidence_of,
    make_client,
)
from feeds.exchange.failures import Evidence, Failure, classify
from feeds.exchange.rate_limit import RateLimiter
from tests.bybit import Corrupt, DieMidBody, Reset, Respond, RetCode, Trickle

CLIENTS = [SyncClient, AsyncClient, ProClient]
TIME, KLINE = "/v5/market/time", "/v5/market/kline"


def ask(client, method, query=None):
    """Return the result of a call for a client of any kind."""

    async def answer():
        try:
            return await getattr(client, method)(query or {})
        finally:
            await client.close()

    return getattr(client, method)(query or {}) if isinstance(client, SyncClient) else asyncio.run(answer())


def klines(client):
    query = {"category": "linear", "symbol": "BTCUSDT", "interval": "60", "limit": 3}
    return ask(client, "public_get_v5_market_kline", query)


@pytest.mark.parametrize("kind", CLIENTS)
def test_every_client_reaches_the_base_url_and_counts(kind, bybit):
    client = make_client(kind, CCXT_RULES, Access(base_url=bybit.url))
    assert len(klines(client)["result"]["list"]) == 3
    assert client.counts == {KLINE: 1}
    assert len(bybit.log) == 1


@pytest.mark.parametrize("kind", CLIENTS)
@pytest.mark.parametrize(
    ("fault", "evidence", "failure"),
    [
        (Respond(200, b"<html>"), Evidence(200), Failure.TRANSIENT),
        (Corrupt(lambda body: b"[" * 100_000), Evidence(200), Failure.TRANSIENT),
        (Corrupt(lambda body: body.replace(b'"retCode": 0', b'"retCode": "' + b"9" * 5000 + b'"')),
         Evidence(200), Failure.TRANSIENT),
        (RetCode(10016), Evidence(200, 10016), Failure.TRANSIENT),
        (RetCode(110007), Evidence(200, 110007), Failure.FATAL),
        # ccxt takes this code for a success, and the response has no result.
        (Respond(200, b'{"retCode": 30084, "result": null}'), Evidence(200, 30084), Failure.TRANSIENT),
        (RetCode(10009), Evidence(200, 10009), Failure.BANNED),
        (Respond(524, b"<html>"), Evidence(524), Failure.TRANSIENT),
        (Respond(403, b"access too frequent"), Evidence(403), Failure.BANNED),
        (Respond(404, b'{"retCode": 0, "result": {"list": []}}'), Evidence(404, 0), Failure.FATAL),
        (Reset(), Evidence(), Failure.TRANSIENT),
        (DieMidBody(), Evidence(), Failure.TRANSIENT),
    ],
)  # fmt: skip
def test_an_error_has_the_facts_of_its_response(kind, bybit, fault, evidence, failure):
    bybit.inject(fault, times=9)
    with pytest.raises(ClientError) as raised:
        klines(make_client(kind, CCXT_RULES, Access(base_url=bybit.url)))
    found = evidence_of(raised.value)
    assert (found.status, found.code) == (evidence.status, evidence.code)
    assert classify(raised.value, found, FAILURE_RULES) is failure


@pytest.mark.parametrize("kind", CLIENTS)
@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/html; charset=undefined"},  # a codec of Python's that always fails
        {"Content-Type": "application/json; charset=hex"},
        {"Content-Type": "application/json; charset=idna"},
        {"Location": "http://[bad"},
        {"Location": "http://a..com/"},
        {"Location": f"http://{'a' * 300}.com/"},
    ],
    ids=lambda headers: next(iter(headers.values()))[:40],
)
def test_a_header_without_sense_is_a_broken_answer_like_any_other(kind, bybit, headers):
    bybit.inject(Respond(302 if "Location" in headers else 502, b"<html>", headers), times=9)
    with pytest.raises(ClientError) as raised:
        klines(make_client(kind, CCXT_RULES, Access(base_url=bybit.url)))
    assert classify(raised.value, evidence_of(raised.value), FAILURE_RULES) is Failure.TRANSIENT


@pytest.mark.parametrize("kind", CLIENTS)
def test_every_request_keeps_the_rate_limit(kind, bybit):
    limiter = RateLimiter(None)
    limiter.close("closed")
    with pytest.raises(Exception, match="closed"):
        klines(make_client(kind, CCXT_RULES, Access(base_url=bybit.url), limiter))
    assert bybit.log == []


@pytest.mark.parametrize("kind", CLIENTS)
def test_a_base_url_replaces_every_url_of_the_exchange(kind):
    client = make_client(kind, CCXT_RULES, Access(base_url="http://127.0.0.1:8899/", sandbox=True))
    urls = client.urls["api"]

    def leaves(node):
        return (
            [leaf for child in node.values() for leaf in leaves(child)] if isinstance(node, dict) else [node]
        )

    assert all(url.split("://")[1].startswith("127.0.0.1:8899") for url in leaves(urls))
    assert urls["public"] == urls["private"] == "http://127.0.0.1:8899"
    assert urls["ws"]["public"]["linear"] == "ws://127.0.0.1:8899/v5/public/linear"
    assert urls["ws"]["private"]["contract"] == "ws://127.0.0.1:8899/v5/private"


@pytest.mark.parametrize("kind", CLIENTS)
def test_the_sandbox_is_the_testnet(kind):
    assert "testnet" in make_client(kind, CCXT_RULES, Access(sandbox=True)).urls["api"]["private"]
    assert "testnet" not in make_client(kind, CCXT_RULES, Access()).urls["api"]["private"]


def test_a_tls_url_has_a_tls_websocket():
    client = make_client(ProClient, CCXT_RULES, Access(base_url="https://mirror.example"))
    assert client.urls["api"]["ws"]["public"]["spot"] == "wss://mirror.example/v5/public/spot"


def test_credentials_sign_and_stay_unprinted(bybit):
    access = Access(base_url=bybit.url, credentials=Credentials("key", "hush"))
    assert "hush" not in repr(access)
    client = make_client(SyncClient, CCXT_RULES, access)
    signed = client.sign("v5/account/wallet-balance", ["private"], "GET", {})
    assert signed["headers"]["X-BAPI-API-KEY"] == "key"
    assert signed["url"].startswith(bybit.url)


def test_public_requests_carry_no_key(bybit):
    client = make_client(
        SyncClient, CCXT_RULES, Access(base_url=bybit.url, credentials=Credentials("key", "hush"))
    )
    assert "key" not in str(client.sign("v5/market/kline", ["public"], "GET", {}))


def test_a_response_that_does_not_end_keeps_no_thread(bybit, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # nor is a proxy used afterwards
    client = make_client(SyncClient, CCXT_RULES, Access(base_url=bybit.url, timeout=0.2))
    bybit.inject(Trickle(0.15), on=TIME)  # the whole of it takes 15 s
    with pytest.raises(ClientError):
        ask(client, "public_get_v5_market_time")
    until = time.monotonic() + 5.0
    while _requests_under_way() and time.monotonic() < until:
        time.sleep(0.02)
    assert not _requests_under_way()
    assert ask(client, "public_get_v5_market_time")["retCode"] in (0, "0")


def _requests_under_way():
    return [thread for thread in threading.enumerate() if thread.name == "exchange request"]
