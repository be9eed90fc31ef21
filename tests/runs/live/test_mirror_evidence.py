"""Real orders when the exchange shows things late or wrongly: nothing is doubled, and nothing invented is believed."""

import dataclasses
import io
import json
import os
import signal
import threading
import time
from decimal import Decimal

import pytest

from feeds.errors import ExchangeUnavailable
from feeds.exchange.order_types import Interrupted
from runs.live.halt import KILL_FILE
from runs.live.journal import JOURNAL
from runs.live.mirror import Caps, NotReconciled
from tests.bybit import Afterwards, LoopbackBybit, Mutate, Respond, RetCode
from tests.bybit.fixtures import NOW
from tests.runs.live.live_market import open_at
from tests.runs.live.real_runs import CREATE, Moments, frame, go, records

POSITIONS, WALLET = "/v5/position/list", "/v5/account/wallet-balance"
QUERY_API = "/v5/user/query-api"
CAP = Decimal(400)
CAPS = Caps(order=CAP, position=CAP)
BTC = "BTCUSDT"


@pytest.fixture(autouse=True)
def _no_report(monkeypatch):
    monkeypatch.setattr("runs.folder.write.write_report", lambda folder: None)


@pytest.fixture
def exchange():
    with LoopbackBybit(clock=NOW, limit=(100_000, 5.0)) as server:
        server.account.balance = Decimal(1_000_000)
        yield server


def filled(out):
    return sum(Decimal(record["filled"]) for record in records(out, "outcome"))


def records_now(out, kind):
    """Return records of a journal that another thread may be writing."""
    lines = (out / JOURNAL).read_text("utf-8").splitlines()
    return [line for line in lines if f'"kind":"{kind}"' in line]


def bars_of(moments, seconds):
    """Let `seconds` pass between two bars."""

    def before(opened):
        moments.now += seconds
        return 0

    return before


@pytest.mark.parametrize(("answer", "seconds"), [("given", 3.0), ("lost", 60.0), ("refused", 3.0)])
def test_however_late_orders_are_shown_none_is_doubled(tiny_model_dir, exchange, tmp_path, answer, seconds):
    moments, bars = Moments(), frame(80)
    exchange.account.clock, exchange.account.lag = moments.monotonic, 25.0
    refusal = json.dumps({"retCode": 110007, "retMsg": "no", "result": {}, "time": NOW}).encode()
    fault = {"lost": Afterwards(Respond(500)), "refused": Afterwards(Respond(200, refusal))}.get(answer)
    if fault is not None:
        exchange.inject(fault, on=CREATE, times=3 if answer == "lost" else 1)
    go(
        tiny_model_dir,
        exchange,
        tmp_path,
        bars,
        bars_of(moments, seconds),
        caps=CAPS,
        moments=moments,
    )
    assert not records(tmp_path, "halt"), "it waits, and does not halt with a wrong position"
    assert exchange.account.orders
    price = min(record["decisions"][0]["close"] for record in records(tmp_path, "bar"))
    assert exchange.account.largest[BTC] * Decimal(repr(price)) <= CAP * Decimal("1.2")
    links = [order["orderLinkId"] for order in exchange.account.orders]
    known = {o["link_id"] for o in records(tmp_path, "outcome") if o["status"] == "Filled"}
    assert len(links) == len(set(links))
    missing = set(links) - known
    assert len(missing) <= 1, "of the last order the run may have ended first"
    assert missing or exchange.account.size(BTC) == filled(tmp_path)
    assert "absent" not in {o["status"] for o in records(tmp_path, "outcome")}


def test_a_restart_adopts_no_position_that_only_the_list_says_is_gone(tiny_model_dir, exchange, tmp_path):
    go(tiny_model_dir, exchange, tmp_path, frame(70))
    held = exchange.account.size(BTC)
    assert held
    exchange.clock += 3_600_000
    exchange.inject(Mutate(lambda result: result | {"list": []}), on=POSITIONS, times=99)
    with pytest.raises(ExchangeUnavailable, match="expected one row of the position in BTCUSDT, found 0"):
        go(tiny_model_dir, exchange, tmp_path, frame(), adopt=True)
    exchange.heal()
    flat = Mutate(lambda r: r | {"list": [r["list"][0] | {"size": "0", "side": "", "avgPrice": "0"}]})
    exchange.inject(flat, on=POSITIONS, times=99)
    with pytest.raises(NotReconciled, match="the position list alone is not believed"):
        go(tiny_model_dir, exchange, tmp_path, frame(), adopt=True)
    assert not records(tmp_path, "adopted")
    exchange.heal()
    # A fill of another hand confirms it.
    fill = {
        **exchange.account.executions[-1],
        "execId": "theirs",
        "orderLinkId": "",
        "execTime": str(NOW + 9),
    }
    fill |= {"side": "Sell" if held > 0 else "Buy", "execQty": str(abs(held))}
    exchange.account.executions.append(fill)
    exchange.account.positions[BTC].size = Decimal(0)
    go(tiny_model_dir, exchange, tmp_path, frame(70), adopt=True)
    assert [record["size"] for record in records(tmp_path, "adopted")] == ["0"]


@pytest.mark.parametrize(
    "broken",
    [
        lambda result: {"list": []},
        lambda result: {"list": [result["list"][0] | {"coin": [{"coin": "USDT", "equity": ""}]}]},
    ],
    ids=["no account", "no equity"],
)
def test_a_broken_wallet_halts_and_sells_nothing(tiny_model_dir, exchange, tmp_path, broken):
    bars, seen = frame(80), []

    def before(opened):
        if opened == open_at(bars, 72):
            exchange.inject(Mutate(broken), on=WALLET, times=9)
            seen.append(exchange.account.size(BTC))
        return 0

    go(tiny_model_dir, exchange, tmp_path, bars, before, loss=0.5)
    (halt,) = records(tmp_path, "halt")
    assert "the answer about the balance is not valid: expected" in halt["reason"]
    assert exchange.account.size(BTC) != 0
    assert exchange.account.size(BTC) == filled(tmp_path)


def test_a_position_without_a_side_is_no_short_position(tiny_model_dir, exchange, tmp_path):
    bars = frame(80)

    def before(opened):
        if opened == open_at(bars, 72):
            exchange.inject(
                Mutate(lambda r: r | {"list": [r["list"][0] | {"side": ""}]}), on=POSITIONS, times=3
            )
        return 0

    go(tiny_model_dir, exchange, tmp_path, bars, before)
    (halt,) = records(tmp_path, "halt")
    assert "expected 'side' to be one of Buy, Sell, found ''" in halt["reason"]


def test_a_key_without_permission_halts_and_sends_nothing_more(tiny_model_dir, exchange, tmp_path):
    exchange.inject(RetCode(10005), on=CREATE, times=99)
    go(tiny_model_dir, exchange, tmp_path, frame(80), kill_flatten=True)
    assert len(exchange.requests(CREATE)) == 1
    (halt,) = records(tmp_path, "halt")
    assert "lacks the permission to trade" in halt["reason"]


def test_the_kill_file_ends_the_wait_for_an_order(tiny_model_dir, exchange, tmp_path):
    """Lookups never show the order; without an ear, the first bar would wait ten seconds for it."""
    moments, begun = Moments(), []

    def sleep(seconds):
        moments.now += seconds
        if exchange.account.orders:
            (tmp_path / KILL_FILE).touch()
            begun.append(moments.now)

    exchange.account.clock, exchange.account.lag = moments.monotonic, 1e6
    moments.sleep = sleep
    go(tiny_model_dir, exchange, tmp_path, frame(80), bars_of(moments, 60.0), moments=moments)
    (halt,) = records(tmp_path, "halt")
    assert halt["reason"] == "file KILL"
    outcome = records(tmp_path, "outcome")[0]
    assert (outcome["status"], outcome["taken"]) == ("unknown", True)
    assert "the run stops or halts" in outcome["reason"]
    assert sum(now < begun[0] + 10.0 for now in begun) <= 12, "no wait after the file was there"
    assert len(exchange.requests(CREATE)) == 1


def test_the_account_is_read_and_recorded_at_the_start(tiny_model_dir, exchange, tmp_path):
    exchange.account.rest("ETHUSDT", "theirs")
    exchange.account.leverage[BTC] = Decimal(3)
    exchange.account.margin_mode = "ISOLATED_MARGIN"
    go(tiny_model_dir, exchange, tmp_path, frame(62))
    (account,) = records(tmp_path, "account")
    assert {k: v for k, v in account.items() if k not in ("n", "at", "kind")} == {
        "account_id": "24617703",
        "position_mode": "one-way",
        "margin_mode": "isolated",
        "leverage": {"BTC/USDT:USDT": "3"},
        "other_positions": {},
        "other_orders": {"ETHUSDT": 1},
    }
    assert exchange.account.leverage[BTC] == 3


def test_a_key_of_another_account_is_refused_although_neither_holds_anything(
    tiny_model_dir, exchange, tmp_path
):
    exchange.account.killed = True
    go(tiny_model_dir, exchange, tmp_path, frame(62))
    exchange.account.user_id += 1
    with pytest.raises(NotReconciled, match=r"went to the account 24617703, now .* the account 24617704"):
        go(tiny_model_dir, exchange, tmp_path, frame(64), adopt=True)
    # An exchange that does not tell, or tells nonsense, stops no restart.
    exchange.inject(RetCode(10032, "Demo trading are not supported."), on=QUERY_API, times=99)
    go(tiny_model_dir, exchange, tmp_path, frame(64))
    exchange.heal()
    exchange.inject(
        Respond(200, b'{"retCode":0,"retMsg":"OK","result":{"userID":true},"time":1}'), on=QUERY_API, times=99
    )
    go(tiny_model_dir, exchange, tmp_path, frame(66))
    assert [r["account_id"] for r in records(tmp_path, "account")] == ["24617703", None, None]
    exchange.heal()
    with pytest.raises(NotReconciled, match="another --out"):
        go(tiny_model_dir, exchange, tmp_path, frame(68))
    assert exchange.account.size(BTC) == 0


def test_an_order_that_stays_open_is_not_sent_again(tiny_model_dir, exchange, tmp_path):
    """The market takes two minutes to fill it: one position, not one for each bar."""
    moments, bars = Moments(), frame(80)
    exchange.account.queues = True
    begun = []

    def before(opened):
        moments.now += 60.0
        if exchange.account.orders:
            begun.append(opened)
        if len(begun) == 3:
            assert len(exchange.account.orders) == 1
            exchange.account.work()
        return 0

    go(tiny_model_dir, exchange, tmp_path, bars, before, moments=moments)
    assert len(begun) > 3
    assert len(exchange.account.orders) > 1
    assert exchange.account.size(BTC) == filled(tmp_path)
    assert not records(tmp_path, "halt")


@pytest.mark.parametrize("when", ["reconciling", "stopping"])
def test_a_halt_that_is_asked_for_outside_the_event_loop_is_not_forgotten(
    tiny_model_dir, exchange, tmp_path, monkeypatch, when
):
    def halt(*_):
        os.kill(os.getpid(), signal.SIGUSR1)

    moments = Moments()
    go(tiny_model_dir, exchange, tmp_path, frame(70), moments=moments)
    assert exchange.account.size(BTC)
    if when == "reconciling":
        moments.sleep = halt
        exchange.inject(Respond(500), on=WALLET)
        go(tiny_model_dir, exchange, tmp_path, frame(72), moments=moments, kill_flatten=True)
        assert not exchange.account.size(BTC)
    else:
        monkeypatch.setattr("runs.folder.write.write_report", halt)
        go(tiny_model_dir, exchange, tmp_path, frame(72), moments=moments)
    sent = len(exchange.account.orders)
    go(tiny_model_dir, exchange, tmp_path, frame(76))
    assert [record["reason"] for record in records(tmp_path, "halt")] == ["SIGUSR1"]
    assert len(exchange.account.orders) == sent


@pytest.mark.parametrize("on", [WALLET, POSITIONS])
def test_a_restart_waits_for_an_account_that_cannot_be_reached(tiny_model_dir, exchange, tmp_path, on):
    exchange.inject(Respond(503), on=on, times=3)
    with pytest.raises(ExchangeUnavailable):
        go(tiny_model_dir, exchange, tmp_path, frame(70))  # a new run holds nothing
    exchange.heal()
    go(tiny_model_dir, exchange, tmp_path, frame(70))
    sent, held, said = len(exchange.account.orders), exchange.account.size(BTC), io.StringIO()
    assert held
    exchange.inject(Respond(503), on=on, times=9)
    go(tiny_model_dir, exchange, tmp_path, frame(76), said=said, speed=1000.0)
    assert said.getvalue().count("the run of this folder goes on once the exchange answers") == 3
    assert "503 Service Unavailable" in said.getvalue()
    assert len(exchange.account.orders) > sent
    assert exchange.account.size(BTC) == filled(tmp_path)
    assert not records(tmp_path, "halt")


def test_a_halt_that_is_asked_for_while_an_account_cannot_be_reached_is_kept(
    tiny_model_dir, exchange, tmp_path
):
    go(tiny_model_dir, exchange, tmp_path, frame(70))
    sent, begun = len(exchange.account.orders), len(exchange.requests(WALLET))
    exchange.inject(Respond(503), on=WALLET, times=1_000_000)

    def halt():
        while len(exchange.requests(WALLET)) < begun + 6:
            time.sleep(0.01)
        (tmp_path / KILL_FILE).touch()
        while not records_now(tmp_path, "halt"):
            time.sleep(0.01)
        exchange.heal()

    other = threading.Thread(target=halt)
    other.start()
    go(tiny_model_dir, exchange, tmp_path, frame(76), speed=1000.0, kill_flatten=True)
    other.join()
    assert [record["reason"] for record in records(tmp_path, "halt")] == ["file KILL"]
    assert not exchange.account.size(BTC)
    assert len(exchange.account.orders) == sent + 1, "the one that closes"


def test_ctrl_c_ends_the_wait_for_an_account(tiny_model_dir, exchange, tmp_path):
    go(tiny_model_dir, exchange, tmp_path, frame(70))
    begun = len(exchange.requests(WALLET))
    exchange.inject(Respond(503), on=WALLET, times=1_000_000)

    def stop():
        while len(exchange.requests(WALLET)) < begun + 6:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    other = threading.Thread(target=stop)
    other.start()
    with pytest.raises(Interrupted, match="because the run stops"):
        go(tiny_model_dir, exchange, tmp_path, frame(76), speed=1000.0)
    other.join()


def test_after_a_change_of_the_lot_size_positions_are_followed_and_closed(tiny_model_dir, exchange, tmp_path):
    moments, bars, said = Moments(), frame(90), io.StringIO()

    def before(opened):
        moments.now += 80.0
        if opened == open_at(bars, 66):
            assert exchange.account.size(BTC) % Decimal("0.01")
            exchange.listings[0] = dataclasses.replace(exchange.listings[0], lot="0.01", min_qty="0.01")
        elif opened == open_at(bars, 86):
            (tmp_path / KILL_FILE).touch()
        return 0

    go(tiny_model_dir, exchange, tmp_path, bars, before, moments=moments, said=said, kill_flatten=True)
    refused = [r for r in records(tmp_path, "outcome") if r["status"] == "refused"]
    assert len(refused) == 1, "the order of the old rules, and none after it"
    assert "the exchange has new trading rules: lots of 0.01, at least 0.01" in said.getvalue()
    assert abs(exchange.account.size(BTC)) < Decimal("0.01")
    assert exchange.account.size(BTC) == filled(tmp_path)


def test_a_key_that_expires_during_a_run_is_in_the_journal_and_a_new_one_goes_on(
    tiny_model_dir, exchange, tmp_path
):
    bars = frame(80)

    def before(opened):
        if opened == open_at(bars, 66):
            exchange.inject(RetCode(33004), on=POSITIONS, times=9999)
        elif opened == open_at(bars, 74):
            exchange.heal()
        return 0

    go(tiny_model_dir, exchange, tmp_path, bars, before)
    expired, again = [r["text"] for r in records(tmp_path, "notice") if r["what"] == "real_orders"]
    assert expired.endswith("bybit rejected the API key (retCode 33004): the key has expired")
    assert again.endswith("works again")
    assert not records(tmp_path, "halt")
    assert exchange.account.size(BTC) == filled(tmp_path)
