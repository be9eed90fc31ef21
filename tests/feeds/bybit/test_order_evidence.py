"""Evidence that an order was accepted is kept, however late the exchange shows it; no wait is deaf or endless."""

import json
from decimal import Decimal

import pytest

from feeds.bybit.market import Bybit
from feeds.bybit.orders import MarketOrder, OrderClient, OrderRejected, OrderTimeouts, OrderUnknown
from feeds.errors import ExchangeUnavailable
from feeds.exchange.access import Access, Credentials
from feeds.exchange.order_types import Interrupted, OrdersForbidden, UnreadableAnswer
from feeds.exchange.rate_limit import RateLimiter
from feeds.exchange.retry import Retry
from tests.bybit import Afterwards, Deposit, LoopbackBybit, Mutate, Respond, RetCode
from tests.bybit.fixtures import NOW

CREATE = "/v5/order/create"
WALLET = "/v5/account/wallet-balance"
REFUSED = json.dumps({"retCode": 110007, "retMsg": "ab not enough", "result": {}, "time": NOW}).encode()


class Moments:
    """A clock of seconds that only sleeping moves."""

    def __init__(self):
        self.now, self.slept = 1000.0, []

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds

    def monotonic(self):
        return self.now


@pytest.fixture
def moments():
    return Moments()


@pytest.fixture
def exchange(moments):
    with LoopbackBybit(clock=NOW, limit=(100_000, 5.0)) as server:
        server.account.clock = moments.monotonic
        yield server


@pytest.fixture
def client(exchange, moments):
    access = Access(base_url=exchange.url, credentials=Credentials(Deposit().key, Deposit().secret))
    timeouts = OrderTimeouts(sleep=moments.sleep, monotonic=moments.monotonic)
    with OrderClient(access, limiter=RateLimiter(None), timeouts=timeouts) as made:
        yield made


@pytest.fixture
def order(exchange):
    with Bybit(base_url=exchange.url) as public:
        btc = public.instrument("BTCUSDT")
    return MarketOrder(instrument=btc, side="buy", quantity=Decimal("0.5"), link_id="sn-1")


@pytest.mark.parametrize("lag", [15.0, 25.0, 300.0])
def test_an_accepted_order_is_never_absent_however_long_lookups_lag(exchange, client, order, moments, lag):
    exchange.account.lag = lag
    with pytest.raises(OrderUnknown, match="does not show it yet") as unknown:
        client.create(order)
    assert unknown.value.taken
    while moments.now < 1000.0 + lag:
        with pytest.raises(OrderUnknown) as unknown:
            client.settle(order, 1000.0, taken=True)
        assert unknown.value.taken
        moments.now += 5.0
    assert client.settle(order, 1000.0, taken=True).filled == Decimal("0.5")
    assert len(exchange.requests(CREATE)) == len(exchange.account.orders) == 1


def test_a_duplicate_id_after_a_lost_answer_proves_that_the_order_exists(exchange, client, order, moments):
    exchange.account.lag = 25.0
    exchange.inject(Afterwards(Respond(500)), on=CREATE)
    with pytest.raises(OrderUnknown) as unknown:
        client.create(order)
    assert unknown.value.taken
    moments.now += 25.0
    assert client.settle(order, 1000.0, taken=True).filled == Decimal("0.5")
    assert len(exchange.account.orders) == 1


def test_fills_are_evidence_where_lookups_show_nothing(exchange, client, order):
    exchange.account.hidden_lookups = 10_000
    with pytest.raises(OrderUnknown):
        client.create(order)
    done = client.settle(order, 1000.0, taken=True)
    assert (done.status, done.filled, done.final) == ("Filled", Decimal("0.5"), True)
    assert done.fee == done.filled * done.price * Decimal("0.00055")


def test_a_refusal_after_a_request_whose_answer_was_lost_is_no_refusal(exchange, client, order, moments):
    """The first request is executed and uses up the balance that the second one then lacks."""
    exchange.account.lag = 20.0
    exchange.inject(Afterwards(Respond(500)), on=CREATE)
    exchange.inject(RetCode(110007), on=CREATE)
    with pytest.raises(OrderUnknown, match="an earlier request may have been accepted"):
        client.create(order)
    moments.now += 20.0
    assert client.settle(order, 1000.0).filled == Decimal("0.5")


def test_an_error_after_a_request_whose_answer_was_lost_is_no_refusal(exchange, client, order):
    client.now()
    exchange.account.lag = 20.0
    exchange.inject(Afterwards(Respond(500)), on=CREATE)
    exchange.inject(RetCode(10002), on=CREATE)
    exchange.inject(Respond(500), on="/v5/market/time", times=99)
    with pytest.raises(OrderUnknown, match="may exist"):
        client.create(order)
    assert exchange.account.size("BTCUSDT") == Decimal("0.5")


def test_an_order_taken_although_the_answer_refused_it_is_found(exchange, client, order):
    exchange.inject(Afterwards(Respond(200, REFUSED)), on=CREATE)
    with pytest.raises(OrderRejected):
        client.create(order)
    assert client.settle(order).filled == Decimal("0.5")


def test_an_acknowledgement_of_another_order_is_none(exchange, client, order):
    exchange.inject(Mutate(lambda result: {**result, "orderLinkId": "sn-other"}), on=CREATE)
    assert client.create(order).filled == Decimal("0.5")
    assert len(exchange.account.orders) == 1


@pytest.mark.parametrize("code", [10005, 10028, 33004])
def test_a_missing_permission_is_named(exchange, client, order, code):
    exchange.inject(RetCode(code), on=CREATE)
    with pytest.raises(OrdersForbidden) as refused:
        client.create(order)
    assert refused.value.code == code
    assert len(exchange.requests(CREATE)) == 1


# Waits --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reset", [str(NOW + 3_600_000), "9" * 15, "9" * 40, "-1", "soon", ""])
@pytest.mark.parametrize("name", ["X-Bapi-Limit-Reset-Timestamp", "Retry-After"])
def test_no_header_makes_an_order_wait_long(exchange, client, order, moments, name, reset):
    exchange.inject(RetCode(10006, headers={name: reset}), on=CREATE, times=2)
    if name == "Retry-After" and reset.isdigit() and len(reset) <= 15:
        with pytest.raises(ExchangeUnavailable, match="would have to wait"):
            client.create(order)
    else:
        assert client.create(order).filled == Decimal("0.5")
    assert sum(moments.slept) < 45.0
    assert not moments.slept or max(moments.slept) <= 0.1


def test_a_reset_is_judged_by_the_exchange_s_clock(exchange, client, order, moments):
    headers = {"X-Bapi-Limit-Reset-Timestamp": str(NOW + 5000)}
    exchange.inject(RetCode(10006, headers=headers), on=CREATE)
    assert client.create(order).filled == Decimal("0.5")
    assert 5.0 < sum(moments.slept) <= 5.5


@pytest.mark.parametrize(
    ("path", "fault", "error"),
    [
        (CREATE, RetCode(10006), Interrupted),
        ("/v5/order/realtime", Respond(503), OrderUnknown),
        ("/v5/market/time", Respond(503), Interrupted),
    ],
)
def test_every_wait_ends_when_the_run_stops(exchange, client, order, moments, path, fault, error):
    exchange.inject(fault, on=path, times=99)
    client.listen(lambda: moments.now >= 1000.2)
    with pytest.raises(error):
        client.create(order)
    assert moments.now < 1000.4


def test_the_default_retries_keep_a_budget(exchange, client, moments):
    exchange.inject(Respond(503), on="/v5/account/wallet-balance", times=99)
    with pytest.raises(ExchangeUnavailable):
        client.equity()
    assert sum(moments.slept) <= Retry(attempts=6, cap=8.0, budget=30.0).budget


def test_a_key_follows_no_redirection(exchange, client):
    away = {"Location": f"{exchange.url}/v5/account/info"}
    exchange.inject(Respond(302, headers=away), on="/v5/account/wallet-balance", times=99)
    with pytest.raises(ExchangeUnavailable):
        client.equity()
    assert not exchange.requests("/v5/account/info")


def test_one_unreadable_answer_in_an_outage_is_no_answer_that_stays_unreadable(exchange, client):
    """The first is waited for, as any outage; the second halts trading."""
    without_rows = Mutate(lambda result: {})
    exchange.inject(Respond(502), on=WALLET, times=5)
    exchange.inject(without_rows, on=WALLET)
    with pytest.raises(ExchangeUnavailable) as outage:
        client.equity()
    assert not isinstance(outage.value, UnreadableAnswer)
    exchange.inject(without_rows, on=WALLET, times=6)
    with pytest.raises(UnreadableAnswer, match="expected a list of rows"):
        client.equity()
    assert client.equity() == Deposit().balance


@pytest.mark.parametrize("path", [CREATE, "/v5/order/realtime"])
def test_an_error_that_the_library_takes_for_a_success_is_one(exchange, client, order, path):
    exchange.inject(Respond(200, b'{"retCode": 30084, "retMsg": "not modified"}'), on=path)
    assert client.create(order).filled == Decimal("0.5")
    assert len(exchange.account.orders) == 1


def test_the_exchange_s_time_is_right_after_this_machine_was_suspended(exchange, client, moments):
    """Meanwhile its monotonic clock stands still; with an old time an order would look an hour older than it is."""
    assert client.now() == NOW
    exchange.clock += 3_600_000
    assert client.now() == NOW + 3_600_000


@pytest.mark.parametrize(
    ("paid", "fee"),
    [
        ({"cumExecFee": "0.1", "cumFeeDetail": {"USDT": "0.2"}}, Decimal("0.2")),
        ({"cumExecFee": "0.1", "cumFeeDetail": {"MNT": "0.1"}}, None),
        ({"cumExecFee": "", "cumFeeDetail": {"MNT": "0.1", "USDT": "0.1"}}, None),
    ],
)
def test_a_fee_in_another_coin_is_no_fee_in_usdt_and_no_reason_to_halt(exchange, client, order, paid, fee):
    exchange.inject(
        Mutate(lambda result: result | {"list": [row | paid for row in result["list"]]}),
        on="/v5/order/realtime",
        times=9,
    )
    done = client.create(order)
    assert (done.filled, done.fee) == (Decimal("0.5"), fee)


def test_what_decides_no_order_may_have_another_form(exchange, client, order):
    exchange.account.rest("ETHUSDT", "theirs")
    exchange.inject(
        Mutate(
            lambda result: result | {"list": [row | {"orderStatus": "Suspended"} for row in result["list"]]}
        ),
        on="/v5/order/realtime",
        times=9,
    )
    exchange.account.margin_mode = "SMART_MARGIN"
    facts = client.facts()
    assert (facts.margin_mode, facts.positions, facts.orders) == (None, {}, None)
