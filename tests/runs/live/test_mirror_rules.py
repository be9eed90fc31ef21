"""The mirror of the paper account, with a client that fails on request."""

import io
from dataclasses import replace
from decimal import Decimal

import pytest

from feeds.bybit.orders import HeldPosition, OrderState, OrderUnknown
from feeds.errors import ExchangeBanned, ExchangeUnavailable
from feeds.exchange.order_types import AccountFacts, OrderRejected, OrdersForbidden, UnreadableAnswer
from feeds.instruments import Instrument
from runs.live.halt import KillSwitch
from runs.live.journal import open_journal
from runs.live.mirror import Caps, Mirror, MirrorOptions, NotReconciled
from runs.live.status import LiveStatus

BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
WIDE = Caps(order=Decimal(1_000_000), position=Decimal(1_000_000))


class FakeClient:
    """An account that fills every order; `fails` maps (method, symbol) to the errors of its next calls."""

    def __init__(self):
        self.held, self.sent, self.cancelled, self.fails = {}, [], [], {}
        self.stale, self.refuses, self.taken, self.user = [], None, {}, None

    def _fail(self, method, symbol):
        if errors := self.fails.get((method, symbol)):
            raise errors.pop(0)

    def listen(self, stop):
        self.stop = stop

    def now(self):
        return 0

    def rules(self, instrument):
        return instrument

    def account_id(self):
        return self.user

    def facts(self):
        return AccountFacts(margin_mode="cross", positions={}, orders={})

    def executions(self, instrument, link_id=""):
        return []

    def equity(self):
        self._fail("equity", "")
        return Decimal(10_000)

    def position(self, instrument):
        self._fail("position", instrument.symbol)
        size = self.stale.pop(0) if self.stale else self.held.get(instrument.symbol, Decimal(0))
        return HeldPosition(size=size, price=Decimal(100))

    def open_orders(self, instrument):
        return []

    def create(self, order):
        self.sent.append(order)
        self._fail("create", order.instrument.symbol)
        signed = order.quantity if order.side == "buy" else -order.quantity
        self.held[order.instrument.symbol] = self.held.get(order.instrument.symbol, Decimal(0)) + signed
        state = OrderState(
            link_id=order.link_id,
            order_id="1",
            status="Filled",
            filled=order.quantity,
            price=Decimal(100),
            fee=Decimal(0),
            final=True,
        )
        self.taken[order.link_id] = state
        if self.refuses is not None:
            raise OrderRejected("refused", self.refuses)
        return state

    def settle(self, order, sent, taken=False):
        self._fail("settle", order.instrument.symbol)
        return self.taken.get(order.link_id)

    def cancel_all(self, instrument):
        self._fail("cancel_all", instrument.symbol)
        self.cancelled.append(instrument.symbol)


def rules(symbol, **more):
    values = {
        "symbol": symbol,
        "id": symbol[:3] + "USDT",
        "category": "linear",
        "tick": 0.1,
        "lot_step": 0.001,
    }
    values |= {
        "min_quantity": 0.001,
        "min_notional": 5.0,
        "funding_minutes": 480,
        "launch": None,
        "active": True,
    }
    return Instrument(**{**values, **more})


class Desk:
    """A mirror with a new journal, and its client, kill switch, clock and terminal."""

    def __init__(self, folder, journal, symbols=(BTC,), loss=0.0, venue="", **rule):
        journal.append("start", run="0123abcd", trade_from=0)
        self.journal, self.client, self.text, self.now = journal, FakeClient(), io.StringIO(), 0.0
        self.kill = KillSwitch(folder, cash=10_000.0)
        status = LiveStatus(self.text, refreshing=False, time_of_day=lambda: "12:00:00Z")
        self.waited = []
        self.mirror = Mirror(
            self.client,
            {symbol: rules(symbol, **rule) for symbol in symbols},
            MirrorOptions(caps=WIDE, max_loss=loss, venue=venue),
            journal,
            self.kill,
            status,
            sleep=self.waited.append,
            monotonic=lambda: self.now,
        )
        self.mirror.prepare(symbols)
        self.text.truncate(0)
        self.client.cancelled.clear()

    def again(self, **options):
        """Return the mirror of another session."""

        def sleep(seconds):
            self.now += seconds

        options = MirrorOptions(caps=WIDE, **options)
        rest = (self.journal, self.kill, LiveStatus(self.text, refreshing=False))
        return Mirror(self.client, {BTC: rules(BTC)}, options, *rest, sleep=sleep, monotonic=lambda: self.now)

    def follow(self, time, **wanted):
        names = {"btc": BTC, "eth": ETH}
        self.mirror.follow(
            {
                "time": time,
                "wanted": {names[name]: size for name, size in wanted.items()},
                "decisions": [{"symbol": names[name], "close": 100.0} for name in wanted],
            }
        )

    @property
    def said(self):
        return [line.split("  ", 1)[1] for line in self.text.getvalue().replace("\0", "").splitlines()]


@pytest.fixture
def make(tmp_path):
    opened = []

    def made(*args, **rule):
        block = open_journal(tmp_path)
        opened.append(block)
        return Desk(tmp_path, block.__enter__(), *args, **rule)

    yield made
    for block in opened:
        block.__exit__(None, None, None)


def test_the_dust_of_floats_costs_no_lot(make):
    desk = make()
    desk.follow(60_000, btc=-0.6739999999999999)
    assert desk.client.held == {BTC: Decimal("-0.674")}


def test_a_position_that_is_shown_late_is_waited_for_and_one_that_stays_another_halts(make):
    desk = make()
    desk.follow(60_000, btc=1.0)
    desk.client.stale = [Decimal(0)]
    desk.follow(120_000, btc=2.0)
    assert sum(desk.waited) == pytest.approx(1.0)
    assert max(desk.waited) <= 0.1, "each wait has an ear for the kill switch"
    assert desk.client.held == {BTC: Decimal(2)}
    for desk.now in (30.0, 59.9):
        desk.client.stale = [Decimal(0), Decimal(0)]
        desk.follow(180_000, btc=3.0)
        assert not desk.kill.on, "the exchange may still show the position before the last order"
    desk.now = 60.0
    desk.client.stale = [Decimal(0), Decimal(0)]
    desk.follow(180_000, btc=3.0)
    assert desk.kill.on
    assert len(desk.client.sent) == 2


def test_the_journal_is_right_after_an_order_that_was_refused_and_taken(make):
    desk = make()
    desk.client.refuses = 110007
    desk.follow(60_000, btc=1.0)
    assert desk.client.held == {BTC: Decimal(1)}
    for bar, desk.now in ((120_000, 30.0), (180_000, 70.0)):
        desk.follow(bar, btc=1.0)
    assert len(desk.client.sent) == 1
    assert not desk.kill.on
    assert [record["status"] for record in desk.journal.records("outcome")] == ["refused", "Filled"]
    assert sum(Decimal(record["filled"]) for record in desk.journal.records("outcome")) == 1


def test_an_order_that_was_refused_and_taken_counts_once(make):
    """An order whose answer refuses it buys 0.4, then 1.5 are bought by hand: the run's own position stays 0.4."""
    desk = make()
    desk.client.refuses = 110007
    desk.follow(60_000, btc=0.4)
    for bar, desk.now in ((120_000, 30.0), (180_000, 70.0)):
        desk.follow(bar, btc=0.4)
    desk.client.held[BTC] += Decimal("1.5")
    desk.now = 300.0
    desk.follow(240_000, btc=0.4)
    assert desk.kill.reason == f"the position in {BTC} is 1.9, expected 0.4"
    desk.kill.poll()
    again = desk.again()
    with pytest.raises(NotReconciled, match=r"is 1\.9, the journal expects 0\.4;"):
        again.prepare([BTC])
    outcomes = [(r["status"], r["filled"]) for r in desk.journal.records("outcome")]
    assert outcomes == [("refused", "0"), ("Filled", "0.4")]


def test_an_order_that_stays_open_is_waited_for(make):
    """The exchange has it, unfilled, for five minutes: no other is sent, however right the position looks."""
    desk, create = make(), FakeClient.create
    states = [
        {"status": "New", "filled": Decimal(0)},
        {"status": "PartiallyFilled", "filled": Decimal("0.3")},
    ]

    def opened(order):
        state = create(desk.client, order)
        desk.client.held[BTC] = Decimal(0)
        desk.client.taken[order.link_id] = replace(state, final=False, price=None, **states[0])
        return desk.client.taken[order.link_id]

    desk.client.create = opened
    for bar in range(1, 6):
        desk.now += 61.0
        desk.follow(bar * 60_000, btc=1.0)
        (link,) = (order.link_id for order in desk.client.sent)
        desk.client.taken[link] = replace(desk.client.taken[link], **states[bar > 3])
        desk.client.held[BTC] = desk.client.taken[link].filled
    assert not desk.kill.on, "the part that is filled is no unexpected position"
    desk.mirror.halt(False)
    assert desk.client.cancelled == [BTC]
    desk.client.taken[link] = replace(desk.client.taken[link], status="Cancelled", final=True)
    desk.now += 5.0
    desk.mirror.retry_halt()
    assert desk.mirror._desk.expected == {BTC: Decimal("0.3")}


def test_a_key_that_may_not_trade_halts_and_is_said_once(make):
    desk = make()
    desk.client.fails["create", BTC] = [OrdersForbidden("no permission", 10005) for _ in range(9)]
    for bar in range(1, 5):
        desk.follow(bar * 60_000, btc=1.0)
    assert desk.kill.on
    assert "no permission" in desk.kill.reason
    assert len(desk.client.sent) == 1
    desk.mirror.halt(True)
    for desk.now in (30.0, 60.0, 90.0):
        desk.mirror.retry_halt()
    assert len(desk.client.sent) == 1
    assert len([line for line in desk.said if "no permission" in line]) == 2, "the outcome, and the halt"


@pytest.mark.parametrize("method", ["equity", "position"])
def test_an_answer_that_stays_unreadable_halts_and_closes_nothing(make, method):
    desk = make(loss=0.5)
    desk.follow(60_000, btc=1.0)
    desk.client.fails[method, "" if method == "equity" else BTC] = [
        UnreadableAnswer("expected 'equity', found ''") for _ in range(2)
    ]
    desk.follow(120_000, btc=1.0)
    assert "expected 'equity', found ''" in desk.kill.reason
    assert desk.client.held == {BTC: Decimal(1)}


def test_a_run_does_not_move_to_another_place(make):
    desk = make(venue="testnet")
    desk.mirror.prepare([BTC])
    with pytest.raises(NotReconciled, match="now they would go to the mainnet"):
        desk.again(venue="mainnet", place="the mainnet").prepare([BTC])


def test_trouble_with_one_symbol_does_not_keep_another_from_following(make):
    desk = make((BTC, ETH))
    desk.client.fails["position", BTC] = [ExchangeUnavailable("no answer")]
    desk.follow(60_000, btc=1.0, eth=1.0)
    assert desk.client.held == {ETH: Decimal(1)}


def test_no_order_follows_a_real_loss_that_halts(make):
    desk = make(loss=0.3)
    desk.client.equity = lambda: Decimal(7_000)
    desk.follow(60_000, btc=1.0)
    assert desk.kill.reason == "real equity at or below 7,000.00"
    assert desk.client.sent == []


def test_a_real_loss_while_the_run_was_down_halts_before_the_first_bar(make):
    desk = make()
    desk.client.equity = lambda: Decimal(7_000)
    desk.again(max_loss=0.3).prepare((BTC,))
    assert desk.kill.reason == "real equity at or below 7,000.00"
    assert desk.client.sent == []


def test_a_position_that_halts_is_not_called_working_again(make):
    desk = make()
    desk.follow(60_000, btc=1.0)
    desk.client.held[BTC] = Decimal(0)  # liquidated, or closed by hand
    for desk.now in (30.0, 70.0):
        desk.follow(120_000, btc=1.0)
    assert desk.kill.on
    (problem,) = (record["problem"] for record in desk.journal.records("notice"))
    assert "the exchange shows 0, expected 1" in problem
    assert not any("works again" in line for line in desk.said)


def test_trouble_is_said_once_and_when_it_is_over(make):
    desk = make()
    desk.client.fails["position", BTC] = [ExchangeBanned("HTTP 403") for _ in range(3)]
    for bar in range(1, 6):
        desk.follow(bar * 60_000, btc=1.0)
    assert [line for line in desk.said if "real orders" in line] == [
        f"real orders, {BTC}: the exchange refuses this address; nothing is sent for 15 minutes, positions stay as "
        "they are",
        f"real orders, {BTC}: works again",
    ]
    assert [record["text"] for record in desk.journal.records("notice")] == [
        line for line in desk.said if "real orders" in line
    ]
    assert desk.client.held == {BTC: Decimal(1)}


def test_a_halt_that_does_not_get_through_is_tried_again(make):
    desk = make()
    desk.follow(60_000, btc=1.0)
    desk.kill.trip("file KILL")
    desk.client.fails["cancel_all", BTC] = [ExchangeUnavailable("no answer") for _ in range(2)]
    desk.mirror.halt(True)
    desk.mirror.report_positions()
    assert f"real orders: {BTC} NOT halted, look at the exchange" in desk.said
    for desk.now in (29.0, 30.0, 59.0):
        desk.mirror.retry_halt()
        assert not desk.client.cancelled
    desk.now = 60.0
    desk.mirror.retry_halt()
    assert desk.client.cancelled == [BTC]
    assert desk.client.held == {BTC: Decimal(0)}
    desk.now = 1000.0
    desk.mirror.retry_halt()
    assert desk.client.cancelled == [BTC]


def test_an_order_of_which_nobody_knows_does_not_keep_a_halt_from_closing(make):
    desk = make()
    desk.follow(60_000, btc=1.0)
    desk.client.fails["create", BTC] = [OrderUnknown("lost")]
    desk.follow(120_000, btc=2.0)
    desk.client.fails["settle", BTC] = [OrderUnknown("no answer")]
    desk.mirror.halt(True)
    assert desk.client.held == {BTC: Decimal(0)}
    desk.now = 30.0
    desk.mirror.retry_halt()
    assert len(desk.client.cancelled) == 2, "it looks again until the order is found or certain not to exist"
    desk.now = 60.0
    desk.mirror.retry_halt()
    assert len(desk.client.cancelled) == 2


def test_closing_keeps_to_the_largest_order(make):
    desk = make(max_quantity=0.4)
    for bar in range(1, 4):
        desk.follow(bar * 60_000, btc=1.0)
    assert desk.client.held == {BTC: Decimal(1)}
    desk.mirror.halt(True)
    assert desk.client.held == {BTC: Decimal(0)}
    assert [order.quantity for order in desk.client.sent[3:]] == [
        Decimal("0.4"),
        Decimal("0.4"),
        Decimal("0.2"),
    ]
    assert all(order.reduce_only for order in desk.client.sent[3:])


def test_what_is_left_is_said(make):
    desk = make()
    desk.follow(60_000, btc=1.0)
    desk.mirror.report_positions()
    assert desk.said[-1] == f"real positions are left as they are: {BTC} +1"
