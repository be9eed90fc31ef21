"""Orders are executed at most once even if responses are lost, and no secret is ever shown."""

import logging
import time
from decimal import Decimal

import pytest

from feeds.bybit.market import Bybit
from feeds.bybit.orders import MarketOrder, OrderClient, OrderRejected, OrderTimeouts, OrderUnknown
from feeds.errors import ExchangeBanned, ExchangeRejected, ExchangeUnavailable
from feeds.exchange.access import Access, Credentials
from feeds.exchange.rate_limit import RateLimiter
from feeds.exchange.retry import Retry
from tests.bybit import (
    Account,
    Afterwards,
    Corrupt,
    Deposit,
    DieMidBody,
    Hang,
    LoopbackBybit,
    Mutate,
    Reset,
    Respond,
    RetCode,
    Swallow,
)
from tests.bybit.fixtures import NOW

CREATE = "/v5/order/create"
KEY, SECRET = Deposit().key, Deposit().secret
QUICK = OrderTimeouts(window=0.5, margin=0.1, lag=0.4, pause=0.02, fill=1.0)


@pytest.fixture
def exchange():
    with LoopbackBybit(clock=NOW, speed=1.0, limit=(100_000, 5.0)) as server:
        yield server


@pytest.fixture
def client(exchange):
    with connect(exchange) as made:
        yield made


def connect(exchange, key=KEY, secret=SECRET, timeout=0.3, **options):
    access = Access(base_url=exchange.url, timeout=timeout, credentials=Credentials(key, secret))
    retry = Retry(attempts=3, base=0.01, cap=0.02)
    return OrderClient(access, limiter=RateLimiter(None), retry=retry, **{"timeouts": QUICK, **options})


@pytest.fixture
def btc(exchange):
    with Bybit(base_url=exchange.url) as public:
        return public.instrument("BTCUSDT")


def order(instrument, side="buy", quantity="0.5", link_id="sn-1", **more):
    return MarketOrder(instrument=instrument, side=side, quantity=Decimal(quantity), link_id=link_id, **more)


def creates(exchange):
    return exchange.requests(CREATE)


# Without faults ------------------------------------------------------------------------------------------------


def test_a_market_order_fills_and_moves_position_and_balance(exchange, client, btc):
    done = client.create(order(btc))
    assert (done.status, done.filled, done.final) == ("Filled", Decimal("0.5"), True)
    assert done.fee == done.filled * done.price * Decimal("0.00055")
    held = client.position(btc)
    assert (held.size, held.price) == (Decimal("0.5"), done.price)
    assert abs(client.equity() - (10_000 - done.fee)) < 1
    assert len(creates(exchange)) == 1


def test_reduce_only_closes_and_never_flips(exchange, client, btc):
    client.create(order(btc))
    done = client.create(order(btc, "sell", "0.8", "sn-2", reduce_only=True))
    assert done.filled == Decimal("0.5")
    assert client.position(btc).size == 0
    with pytest.raises(OrderRejected) as refused:
        client.create(order(btc, "sell", "0.5", "sn-3", reduce_only=True))
    assert refused.value.code == 110017


def test_quantities_are_sent_in_plain_decimals(exchange, client, btc):
    client.create(order(btc, quantity="1E+1"))
    assert creates(exchange)[-1].query["qty"] == "10"


def test_open_orders_of_others_are_seen_and_can_be_cancelled(exchange, client, btc):
    exchange.account.rest("BTCUSDT", "theirs")
    assert [placed.link_id for placed in client.open_orders(btc)] == ["theirs"]
    client.cancel_all(btc)
    assert client.open_orders(btc) == []
    client.cancel_all(btc)


def test_leverage_can_be_set_twice(exchange, client, btc):
    for _ in range(2):
        client.set_leverage(btc, Decimal(3))
    assert exchange.account.leverage == {"BTCUSDT": Decimal(3)}
    with pytest.raises(ExchangeRejected):
        client.set_leverage(btc, Decimal(1000))


def test_hedge_mode_is_refused(exchange, client, btc):
    exchange.account.hedged = True
    with pytest.raises(ExchangeRejected, match="one-way mode"):
        client.position(btc)


def test_an_unfilled_rest_is_reported(exchange, client, btc):
    exchange.account.fill_share = Decimal("0.3")
    done = client.create(order(btc, quantity="0.5"))
    assert (done.status, done.filled) == ("PartiallyFilledCanceled", Decimal("0.15"))
    exchange.account.killed = True
    done = client.create(order(btc, link_id="sn-2"))
    assert (done.status, done.filled, done.price) == ("Cancelled", 0, None)


# Lost responses -------------------------------------------------------------------------------------------

LOST_AFTER = {
    "late": Afterwards(Hang(0.6)),
    "500": Afterwards(Respond(500)),
    "504": Afterwards(Respond(504, b"gateway")),
    "page": Afterwards(Respond(200, b"<html>maintenance")),
    "empty": Afterwards(Respond(200, b"")),
    "cut short": Afterwards(DieMidBody()),
    "reset": Reset(),
    "truncated": Corrupt(lambda body: body[:10]),
}
LOST_BEFORE = {
    "swallowed": Swallow(0.6),
    "500": Respond(500),
    "502": Respond(502),
    "null": Respond(200, b"null"),
    "10016": RetCode(10016),
    "10000": RetCode(10000),
    "99999": RetCode(99999),
}


@pytest.mark.parametrize("fault", LOST_AFTER.values(), ids=LOST_AFTER)
def test_an_accepted_order_whose_answer_is_lost_is_found_and_not_sent_again(exchange, client, btc, fault):
    exchange.inject(fault, on=CREATE)
    done = client.create(order(btc))
    assert done.filled == Decimal("0.5")
    assert len(exchange.account.orders) == 1
    assert len(creates(exchange)) == 1


@pytest.mark.parametrize("fault", LOST_BEFORE.values(), ids=LOST_BEFORE)
def test_an_order_that_never_arrived_is_sent_again_only_when_that_is_certain(exchange, client, btc, fault):
    exchange.inject(fault, on=CREATE)
    began = time.monotonic()
    done = client.create(order(btc))
    assert time.monotonic() - began >= QUICK.window + QUICK.margin
    assert done.filled == Decimal("0.5")
    assert len(exchange.account.orders) == 1
    assert [request.query["orderLinkId"] for request in creates(exchange)] == ["sn-1", "sn-1"]
    assert len(exchange.requests("/v5/order/history")) >= 2


def test_an_order_that_is_accepted_long_after_the_client_gave_up_is_not_doubled(exchange, client, btc):
    exchange.inject(Hang(0.45), on=CREATE)
    done = client.create(order(btc))
    time.sleep(0.3)
    assert done.filled == Decimal("0.5")
    assert len(exchange.account.orders) == 1
    assert exchange.account.size("BTCUSDT") == Decimal("0.5")


def test_a_request_that_arrives_after_the_window_is_refused_by_the_exchange(exchange, client, btc):
    exchange.inject(Hang(0.8), on=CREATE)
    done = client.create(order(btc))
    time.sleep(0.5)
    assert done.filled == Decimal("0.5")
    assert exchange.account.size("BTCUSDT") == Decimal("0.5")


def test_an_order_that_shows_up_late_in_lookups_is_waited_for(exchange, client, btc):
    exchange.account.hidden_lookups = 5
    exchange.inject(Afterwards(Respond(500)), on=CREATE)
    assert client.create(order(btc)).filled == Decimal("0.5")
    assert len(creates(exchange)) == 1


def test_a_used_link_id_returns_the_existing_order(exchange, client, btc):
    first = client.create(order(btc))
    again = client.create(order(btc, quantity="0.9"))
    assert again == first
    assert len(exchange.account.orders) == 1


def test_if_the_lookup_fails_too_the_order_is_unknown_and_not_sent_again(exchange, client, btc):
    exchange.inject(Afterwards(Respond(500)), on=CREATE)
    exchange.inject(Respond(503), on="/v5/order/realtime", times=20)
    with pytest.raises(OrderUnknown):
        client.create(order(btc))
    assert len(creates(exchange)) == 1
    exchange.heal()
    assert client.settle(order(btc)).filled == Decimal("0.5")
    assert client.settle(order(btc, link_id="sn-never")) is None


def test_an_order_that_is_taken_and_never_shown_is_unknown(exchange, client, btc):
    exchange.account.hidden_lookups = 10_000
    with pytest.raises(OrderUnknown, match="does not show it"):
        client.create(order(btc))


def test_an_order_whose_every_answer_is_lost_may_exist_until_lookups_cannot_lag_any_more(
    exchange, client, btc
):
    exchange.inject(Respond(503), on=CREATE, times=50)
    with pytest.raises(OrderUnknown, match="may exist; every answer to it was lost") as unknown:
        client.create(order(btc))
    assert not unknown.value.taken
    assert len(creates(exchange)) == 3
    sent = time.monotonic()
    with pytest.raises(OrderUnknown, match="may show it late"):
        client.settle(order(btc), sent)
    assert client.settle(order(btc), sent - QUICK.certain) is None
    assert len(creates(exchange)) == 3


# Rejections -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"quantity": "0.0005"}, 10001),
        ({"quantity": "0.0015"}, 10001),
        ({"quantity": "0.001"}, 110094),
        ({"quantity": "1000"}, 110007),
        ({"link_id": "x" * 37}, 10001),
    ],
)
def test_a_rejected_order_is_not_sent_again(exchange, client, btc, asked, code):
    with pytest.raises(OrderRejected) as refused:
        client.create(order(btc, **asked))
    assert refused.value.code == code
    assert len(creates(exchange)) == 1
    assert not exchange.requests("/v5/order/realtime")


def test_too_many_requests_wait_and_go_on(exchange, client, btc):
    exchange.inject(RetCode(10006, headers={"X-Bapi-Limit-Reset-Timestamp": "1"}), on=CREATE, times=2)
    assert client.create(order(btc)).filled == Decimal("0.5")
    assert len(creates(exchange)) == 3


def test_a_clock_outside_the_receive_window_is_synchronised_again(exchange, client, btc):
    client.equity()
    exchange.clock += 60_000
    assert client.create(order(btc)).filled == Decimal("0.5")
    assert len(creates(exchange)) == 2
    exchange.clock += 60_000
    assert client.position(btc).size == Decimal("0.5")


def test_after_a_ban_not_even_the_order_is_looked_up(exchange, client, btc):
    exchange.inject(Respond(403), on=CREATE, times=1)
    with pytest.raises(OrderUnknown):
        client.create(order(btc))
    assert exchange.log[-1].path == CREATE
    asked = len(exchange.log)
    with pytest.raises(ExchangeBanned):
        client.equity()
    assert len(exchange.log) == asked


def test_after_a_ban_it_asks_again(exchange, btc):
    now = [0.0]
    timeouts = OrderTimeouts(ban=900.0, pause=0.0, sleep=lambda seconds: None, monotonic=lambda: now[0])
    access = Access(base_url=exchange.url, timeout=0.3, credentials=Credentials(KEY, SECRET))
    exchange.inject(Respond(403), on="/v5/account/wallet-balance")
    with OrderClient(access, timeouts=timeouts) as client:
        for now[0] in (0.0, 899.0):
            with pytest.raises(ExchangeBanned):
                client.equity()
        assert len(exchange.requests("/v5/account/wallet-balance")) == 1
        now[0] = 900.0
        assert client.equity() == 10_000
        exchange.inject(Respond(403), on=CREATE)
        with pytest.raises(OrderUnknown):
            client.create(order(btc))
        with pytest.raises(ExchangeBanned):
            client.create(order(btc, link_id="sn-2"))
        now[0] = 1800.0
        assert client.settle(order(btc), sent=900.0) is None
        assert client.create(order(btc, link_id="sn-2")).filled == Decimal("0.5")


def test_a_shared_limiter_stays_closed(exchange, btc):
    access = Access(base_url=exchange.url, timeout=0.3, credentials=Credentials(KEY, SECRET))
    exchange.inject(Respond(403), on="/v5/account/wallet-balance")
    with OrderClient(access, limiter=RateLimiter(None), timeouts=OrderTimeouts(ban=0.0)) as client:
        for _ in range(2):
            with pytest.raises(ExchangeBanned):
                client.equity()


@pytest.mark.parametrize(
    ("code", "told"), [(10003, "testnet key"), (10005, "permission to trade"), (33004, "expired")]
)
def test_a_rejected_key_raises_an_error_with_the_reason(exchange, client, btc, code, told):
    exchange.inject(RetCode(code), on="/v5/position/list", times=9)
    with pytest.raises(ExchangeRejected, match=told):
        client.position(btc)
    assert len(exchange.requests("/v5/position/list")) == 1


@pytest.mark.parametrize(
    "endpoint", ["/v5/position/list", "/v5/account/wallet-balance", "/v5/order/realtime", "/v5/order/history"]
)
@pytest.mark.parametrize(
    "fault",
    [Respond(500), Hang(0.5), Mutate(lambda result: {}), RetCode(10016), Reset()],
    ids=lambda fault: type(fault).__name__,
)
def test_read_requests_are_retried(exchange, client, btc, endpoint, fault):
    reads = {
        "/v5/position/list": lambda: client.position(btc).size,
        "/v5/account/wallet-balance": lambda: client.equity() - 10_000,
        "/v5/order/realtime": lambda: len(client.open_orders(btc)),
        "/v5/order/history": lambda: 0 if client.find(order(btc, link_id="none")) is None else 1,
    }
    exchange.inject(fault, on=endpoint)
    assert reads[endpoint]() == 0
    exchange.inject(fault, on=endpoint, times=9)
    with pytest.raises(ExchangeUnavailable):
        reads[endpoint]()


def test_numbers_that_are_none_are_refused(exchange, client, btc):
    broken = Mutate(lambda result: {"list": [{**result["list"][0], "size": "NaN"}]})
    exchange.inject(broken, on="/v5/position/list", times=9)
    with pytest.raises(ExchangeUnavailable, match="expected a number as 'size'"):
        client.position(btc)


# Secrets ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("key", "secret"), [("wrong-key-4711", SECRET), (KEY, "wrong-secret-4711")])
def test_the_error_about_a_wrong_key_does_not_show_it(exchange, btc, caplog, capsys, key, secret):
    caplog.set_level(logging.DEBUG)
    with connect(exchange, key, secret) as client:
        with pytest.raises(ExchangeRejected) as refused:
            client.equity()
        with pytest.raises(OrderRejected) as rejected:
            client.create(order(btc))
        shown = f"{refused.value!r} {rejected.value!r} {refused.value.__cause__!r} {client!r} {caplog.text}"
        shown += "".join(capsys.readouterr())
    for value in (key, secret, KEY, SECRET):
        assert value not in shown


def test_credentials_are_not_printed():
    access = Access(credentials=Credentials("a-key-4711", "a-secret-4711"))
    assert "a-secret-4711" not in repr(access)
    assert "a-secret-4711" not in str(access)


def test_orders_need_credentials():
    with pytest.raises(ValueError, match="expected Access with credentials"):
        OrderClient(Access())


def test_the_account_of_the_loopback_exchange_can_be_given(btc):
    with (
        LoopbackBybit(clock=NOW, speed=1.0, account=Account(Deposit(balance=Decimal(5)))) as poor,
        connect(poor) as client,
    ):
        assert client.equity() == 5
