"""Real orders on the loopback exchange: within filters and caps, sent once, and stopped by unknown states."""

import os
import random
import re
import signal
import time
import traceback
from decimal import Decimal
from itertools import count, pairwise

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from feeds.instruments import Instrument
from runs.cli import main
from runs.live.mirror import Caps, NotReconciled, Plan, Skip, link_id, plan_order
from scorenet import ConfigError
from tests.bybit import Afterwards, LoopbackBybit, Respond, RetCode, Swallow
from tests.bybit.fixtures import NOW
from tests.runs.live.live_market import open_at
from tests.runs.live.real_runs import CREATE, KEY, SECRET, START, SYMBOL, Moments, frame, go, records

# One order ----------------------------------------------------------------------------------------------------

AMOUNTS = st.decimals(-1000, 1000, places=6)
STEPS = st.sampled_from([0.0, 1e-6, 0.001, 0.1, 1.0, 100.0, 0.3])


@st.composite
def instruments(draw):
    step = draw(STEPS)
    least = draw(st.sampled_from([0.0, step, 10 * step]))
    return Instrument(
        symbol=SYMBOL,
        id="BTCUSDT",
        category="linear",
        tick=0.1,
        lot_step=step,
        min_quantity=least,
        min_notional=draw(st.sampled_from([0.0, 5.0, 100.0])),
        funding_minutes=480,
        launch=None,
        active=True,
        max_quantity=draw(st.sampled_from([0.0, 1000 * step, 20 * step])),
    )


@settings(max_examples=400, deadline=None)
@given(
    wanted=AMOUNTS,
    held=AMOUNTS,
    price=st.decimals("0.0001", 100_000, places=4),
    instrument=instruments(),
    order=st.decimals(1, 5000, places=2),
    position=st.decimals(1, 5000, places=2),
)
def test_every_order_is_within_all_filters_and_caps(wanted, held, price, instrument, order, position):
    step = Decimal(repr(instrument.lot_step)) or Decimal("1e-12")
    held = held // step * step
    plan = plan_order(wanted, held, price, instrument, Caps(order=order, position=position))
    if isinstance(plan, Skip):
        return
    size, after = abs(plan.size), held + plan.size
    assert size > 0
    assert size % step == 0
    assert size >= Decimal(repr(instrument.min_quantity))
    assert not instrument.max_quantity or size <= Decimal(repr(instrument.max_quantity))
    assert abs(wanted - after) < abs(wanted - held), "it goes toward what is wanted"
    assert (wanted - after) * (wanted - held) >= 0 or plan.reduce_only, "and not beyond"
    if plan.reduce_only:
        assert plan.size * held < 0
        assert size <= abs(held)
    else:
        least = max(Decimal(repr(instrument.min_quantity)), step)
        assert after * held >= 0 or abs(held) < least, "what cannot be closed alone is part of the next order"
        assert size * price >= Decimal(repr(instrument.min_notional))
        assert size * price <= order * Decimal("1.0000001")
        assert abs(after) * price <= position * Decimal("1.0000001")


def btc(**more):
    values = {"symbol": SYMBOL, "id": "BTCUSDT", "category": "linear", "tick": 0.1, "lot_step": 0.001}
    values |= {
        "min_quantity": 0.001,
        "min_notional": 5.0,
        "funding_minutes": 480,
        "launch": None,
        "active": True,
    }
    return Instrument(**{**values, **more})


@pytest.mark.parametrize(
    ("wanted", "held", "expected"),
    [
        ("0.5", "0", Plan(Decimal("0.500"), False)),
        ("-0.5", "0", Plan(Decimal("-0.500"), False)),
        ("0.0999", "0.03", Plan(Decimal("0.069"), False)),
        ("0.2", "0.5", Plan(Decimal("-0.300"), True)),
        ("-0.2", "0.5", Plan(Decimal("-0.500"), True)),
        ("0", "-0.5", Plan(Decimal("0.500"), True)),
        ("0.5004", "0.5", Skip("reached")),
        ("0.01", "0", Skip("below_notional")),
        ("50", "0", Plan(Decimal("5.000"), False)),
        ("50", "9.5", Plan(Decimal("0.500"), False)),
        ("50", "10", Skip("capped")),
        ("50", "9.98", Skip("capped")),
        ("50", "12", Skip("capped")),
        ("11", "12", Plan(Decimal("-1.000"), True)),
    ],
)
def test_orders_by_hand(wanted, held, expected):
    caps = Caps(order=Decimal(500), position=Decimal(1000))
    assert plan_order(Decimal(wanted), Decimal(held), Decimal(100), btc(), caps) == expected


@pytest.mark.parametrize(
    ("wanted", "held", "expected"),
    [
        ("-1", "0.004", Plan(Decimal("-1.00"), False)),
        ("1", "0.004", Plan(Decimal("0.99"), False)),
        ("0", "0.004", Skip("reached")),
        ("-1", "0.014", Plan(Decimal("-0.01"), True)),
    ],
)
def test_a_position_below_the_smallest_order_is_part_of_the_next(wanted, held, expected):
    """The exchange has raised the lot from 0.001 to 0.01: without this, 0.004 could never become a short position."""
    rules, caps = btc(lot_step=0.01, min_quantity=0.01), Caps(order=Decimal(500), position=Decimal(1000))
    assert plan_order(Decimal(wanted), Decimal(held), Decimal(100), rules, caps) == expected


def test_names_of_orders_are_the_same_again_and_fit_the_exchange():
    names = {
        link_id("0123abcd", close, symbol, part)
        for close in range(1_700_000_000_000, 1_700_360_000_000, 60_000_000)
        for symbol in (SYMBOL, "ETH/USDT:USDT")
        for part in range(3)
    }
    assert len(names) == 6 * 2 * 3 or len(names) == 7 * 2 * 3 - 6
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,36}", name) for name in names)
    assert link_id("0123abcd", 1, SYMBOL, 0) == link_id("0123abcd", 1, SYMBOL, 0)


@pytest.mark.parametrize("value", ["0", "-1", "NaN", "Infinity"])
def test_caps_are_amounts(value):
    with pytest.raises(ConfigError, match="--max-order: expected a positive amount"):
        Caps(order=Decimal(value))


# A run --------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _no_report(monkeypatch):
    monkeypatch.setattr("runs.folder.write.write_report", lambda folder: None)


@pytest.fixture
def exchange():
    with LoopbackBybit(clock=NOW, speed=1.0, limit=(100_000, 5.0)) as server:
        server.account.balance = Decimal(1_000_000)
        yield server


def wanted(out):
    return Decimal(repr(records(out, "bar")[-1]["wanted"][SYMBOL])).quantize(Decimal("0.001"))


def test_the_account_follows_the_paper_position_and_warm_up_sends_nothing(tiny_model_dir, exchange, tmp_path):
    bars = frame()
    go(tiny_model_dir, exchange, tmp_path, bars)
    intents, outcomes = records(tmp_path, "intent"), records(tmp_path, "outcome")
    private = [tmp_path, *(tmp_path / name for name in ("journal.jsonl", "metrics.json", "orders.parquet"))]
    assert [path.name for path in private if path.stat().st_mode & 0o077] == []
    assert len(intents) == len(outcomes) == len(exchange.requests(CREATE)) > 5
    assert min(intent["close"] for intent in intents) > open_at(bars, START)
    assert {outcome["status"] for outcome in outcomes} == {"Filled"}
    assert exchange.account.size("BTCUSDT") == sum(Decimal(o["filled"]) for o in outcomes)
    assert abs(exchange.account.size("BTCUSDT") - wanted(tmp_path)) <= Decimal("0.03"), (
        "5 USDT at most are missing"
    )
    kinds = [record["kind"] for record in records(tmp_path, "bar", "intent", "outcome")]
    assert all(after == "outcome" for before, after in pairwise(kinds) if before == "intent")


def test_caps_hold(tiny_model_dir, exchange, tmp_path):
    caps = Caps(order=Decimal(300), position=Decimal(700))
    go(tiny_model_dir, exchange, tmp_path, frame(), caps=caps)
    closes = {record["time"]: record["decisions"][0]["close"] for record in records(tmp_path, "bar")}
    for intent in records(tmp_path, "intent"):
        if not intent["reduce_only"]:
            assert Decimal(intent["quantity"]) * Decimal(repr(closes[intent["close"]])) <= 300
    assert any(record["reason"] == "capped" for record in records(tmp_path, "skip"))


@pytest.mark.parametrize(
    "fault", [Afterwards(Respond(500)), Swallow(0.6), RetCode(10016), RetCode(10006)], ids=str
)
def test_lost_answers_double_nothing(tiny_model_dir, exchange, tmp_path, fault):
    for skip in (0, 2, 1):
        exchange.inject(fault, on=CREATE, skip=skip)
    go(tiny_model_dir, exchange, tmp_path, frame(75))
    outcomes = records(tmp_path, "outcome")
    assert exchange.account.size("BTCUSDT") == sum(Decimal(o["filled"]) for o in outcomes)
    assert len(exchange.account.orders) == len(outcomes) == len(records(tmp_path, "intent"))


def test_what_is_refused_or_filled_in_part_is_asked_for_again(tiny_model_dir, exchange, tmp_path):
    moments = Moments()

    def before(opened):
        moments.now += 60.0
        return 0

    exchange.inject(RetCode(110007), on=CREATE)
    exchange.account.fill_share = Decimal("0.6")
    go(tiny_model_dir, exchange, tmp_path, frame(), before, moments=moments)
    statuses = [record["status"] for record in records(tmp_path, "outcome")]
    assert statuses[0] == "refused"
    assert "PartiallyFilledCanceled" in statuses
    assert exchange.account.size("BTCUSDT") == sum(Decimal(o["filled"]) for o in records(tmp_path, "outcome"))


def test_while_nobody_knows_of_an_order_none_is_sent(tiny_model_dir, exchange, tmp_path):
    bars = frame()

    def before(opened):
        if opened == open_at(bars, 90):
            exchange.heal()
        return 0

    exchange.inject(Afterwards(Respond(500)), on=CREATE)
    exchange.inject(Respond(503), on="/v5/order/realtime", times=10_000, skip=2)
    go(tiny_model_dir, exchange, tmp_path, bars, before=before)
    found = records(tmp_path, "intent", "outcome")
    assert found[1]["status"] == "unknown"
    assert found[2]["kind"] == "outcome", "it is settled before anything else is sent"
    assert found[2]["link_id"] == found[0]["link_id"]
    assert exchange.account.size("BTCUSDT") == sum(Decimal(o["filled"]) for o in records(tmp_path, "outcome"))


# Restarts -----------------------------------------------------------------------------------------------------


def test_killed_anywhere_no_order_is_sent_twice(tiny_model_dir, exchange, tmp_path):
    bars, chance = frame(84), random.Random(7)
    deaths = 0
    while _die(tiny_model_dir, exchange, tmp_path / "run", bars, chance.randrange(0, 12), chance.random()):
        deaths += 1
    assert deaths >= 8

    def pace(opened):
        # An order of which nobody knows holds its symbol back for 0.6 s: give the last bars that time.
        time.sleep(0.1)
        return 0

    go(tiny_model_dir, exchange, tmp_path / "run", frame(100), pace)
    outcomes = [o for o in records(tmp_path / "run", "outcome") if o["status"] != "unknown"]
    links = [o["link_id"] for o in outcomes]
    assert len(links) == len(set(links))
    assert {o["orderLinkId"] for o in exchange.account.orders} <= set(links)
    assert exchange.account.size("BTCUSDT") == sum(Decimal(o["filled"]) for o in outcomes)
    assert abs(exchange.account.size("BTCUSDT") - wanted(tmp_path / "run")) <= Decimal("0.03")


def _die(model, exchange, out, bars, at, share):
    """Run in a child process that kills itself at its `at`-th write to the journal; False if it finished first."""
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
        return os.WIFSIGNALED(status)
    try:
        writes, write = count(), os.write

        def deadly(handle, line):
            if b'"kind"' in line and next(writes) == at:
                write(handle, line[: round(share * len(line))] if share > 0.3 else line)
                os.kill(os.getpid(), signal.SIGKILL)
            return write(handle, line)

        os.write = deadly
        go(model, exchange, out, bars)
    except BaseException:
        traceback.print_exc()
        os._exit(9)
    os._exit(0)


def test_a_position_that_the_journal_does_not_know_is_refused_or_adopted(tiny_model_dir, exchange, tmp_path):
    go(tiny_model_dir, exchange, tmp_path / "other", frame(70))
    held = exchange.account.size("BTCUSDT")
    assert held
    with pytest.raises(NotReconciled, match="the journal expects 0"):
        go(tiny_model_dir, exchange, tmp_path / "run", frame())
    assert not records(tmp_path / "run", "bar", "intent")
    go(tiny_model_dir, exchange, tmp_path / "run", frame(), adopt=True)
    assert [Decimal(record["size"]) for record in records(tmp_path / "run", "adopted")] == [held]
    moved = sum(Decimal(o["filled"]) for o in records(tmp_path / "run", "outcome"))
    assert exchange.account.size("BTCUSDT") == held + moved


def test_an_order_of_somebody_else_is_refused_or_cancelled(tiny_model_dir, exchange, tmp_path):
    exchange.account.rest("BTCUSDT", "theirs")
    with pytest.raises(NotReconciled, match="1 open order"):
        go(tiny_model_dir, exchange, tmp_path, frame(70))
    assert exchange.account.order("theirs")["orderStatus"] == "New"
    go(tiny_model_dir, exchange, tmp_path, frame(70), adopt=True)
    assert exchange.account.order("theirs")["orderStatus"] == "Cancelled"


def test_an_empty_account_is_refused(tiny_model_dir, exchange, tmp_path):
    exchange.account.balance = Decimal(0)
    with pytest.raises(NotReconciled, match="holds no USDT"):
        go(tiny_model_dir, exchange, tmp_path, frame(70))


# Halts --------------------------------------------------------------------------------------------------------


def test_a_position_moved_by_another_hand_halts(tiny_model_dir, exchange, tmp_path):
    bars = frame()

    def before(opened):
        if opened == open_at(bars, 80):
            exchange.account.positions["BTCUSDT"].size += 1
        return 0

    go(tiny_model_dir, exchange, tmp_path, bars, before=before)
    assert "expected" in records(tmp_path, "halt")[0]["reason"]
    assert max(intent["close"] for intent in records(tmp_path, "intent")) <= open_at(bars, 81)
    assert {
        r["decisions"][0]["reason"] for r in records(tmp_path, "bar") if r["time"] > open_at(bars, 82)
    } == {"kill_switch"}


@pytest.mark.parametrize("flatten", [False, True])
def test_the_kill_switch_cancels_and_closes_if_asked(tiny_model_dir, exchange, tmp_path, flatten):
    bars, seen = frame(), []

    def before(opened):
        if exchange.account.size("BTCUSDT") and opened >= open_at(bars, 80) and not seen:
            seen.append(exchange.account.size("BTCUSDT"))
            (tmp_path / "KILL").touch()
            return 1
        return 0

    go(tiny_model_dir, exchange, tmp_path, bars, before=before, kill_flatten=flatten, max_bars=35)
    assert exchange.account.size("BTCUSDT") == (0 if flatten else seen[0])
    orders = len(exchange.account.orders)
    go(tiny_model_dir, exchange, tmp_path, bars)
    assert len(exchange.account.orders) == orders, "halted is halted, after a restart too"


def test_too_great_a_real_loss_halts(tiny_model_dir, exchange, tmp_path):
    bars = frame()

    def before(opened):
        if opened == open_at(bars, 80):
            exchange.account.balance *= Decimal("0.8")
        return 0

    go(tiny_model_dir, exchange, tmp_path, bars, before=before, loss=0.1)
    assert records(tmp_path, "halt")[0]["reason"].startswith("real equity at or below 900,000")


# The command --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "keys", "told"),
    [
        (("--real-orders",), {}, "BYBIT_API_KEY and BYBIT_API_SECRET in the environment"),
        (("--real-orders",), {"BYBIT_API_KEY": "k"}, "needs BYBIT_API_SECRET"),
        (("--mainnet",), {}, "needs --real-orders"),
        (("--paper", "--real-orders"), {}, "expected one of them"),
        (
            ("--real-orders", "--max-order", "0"),
            {"BYBIT_API_KEY": "k", "BYBIT_API_SECRET": "s"},
            "--max-order",
        ),
    ],
)
def test_real_orders_have_to_be_asked_for_in_full(
    tiny_model_dir, exchange, tmp_path, monkeypatch, more, keys, told
):
    for name in ("BYBIT_API_KEY", "BYBIT_API_SECRET"):
        monkeypatch.delenv(name, raising=False)
    for name, value in keys.items():
        monkeypatch.setenv(name, value)
    asked = ["live", "--model", str(tiny_model_dir), "--symbol", "BTCUSDT", "--base-url", exchange.url]
    done = CliRunner().invoke(main, [*asked, "--out", str(tmp_path / "run"), *more])
    assert done.exit_code == 2
    assert told in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("right", [True, False])
def test_secrets_are_nowhere(tiny_model_dir, exchange, tmp_path, monkeypatch, right):
    secret = SECRET if right else "wrong-secret-4711"
    monkeypatch.setenv("BYBIT_API_KEY", KEY)
    monkeypatch.setenv("BYBIT_API_SECRET", secret)
    monkeypatch.chdir(tmp_path)
    asked = [
        "--debug",
        "live",
        "--model",
        str(tiny_model_dir),
        "--symbol",
        "BTCUSDT",
        "--base-url",
        exchange.url,
    ]
    done = CliRunner().invoke(main, [*asked, "--out", "run", "--real-orders", "--max-bars", "0"])
    assert (done.exit_code == 0) is right
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    shown = f"{done.output}{done.stderr}{done.exception!r}{done.exc_info}".encode()
    for value in (KEY, secret):
        assert value.encode() not in written + shown
    assert b"session" in written
