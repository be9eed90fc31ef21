"""Two hundred random schedules of faults, each on paper and with real orders: every bar once, no order twice."""

import io
import os
import random
import signal
import threading
import time

import pytest

from feeds import simulate
from runs.live.journal import JOURNAL
from runs.live.status import LiveStatus
from runs.markets import as_market
from scorenet import learn
from tests.conftest import TINY
from tests.soak.exchange import SYMBOLS, Exchange
from tests.soak.process import Tail, unsettled
from tests.soak.schedule import draw, draw_account, plan
from tests.soak.trader import trade
from tests.soak.verify import verify

SCHEDULES, FAULTS, MINUTES = 200, 20, 40
SPEED = 20.0
ORDERS_SETTLE = 20.0  # seconds, at most
TWO = dict(list(SYMBOLS.items())[:2])


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    frame = simulate("planted", seed=5, bars=3_000, timeframe="1m")
    return learn([as_market(frame)], TINY, progress=False).save(tmp_path_factory.mktemp("models") / "minutes")


def play(exchange, out, rng, real):
    """Let the minutes pass with faults, then without; then stop the run as a user does."""
    tail = Tail(out / JOURNAL)
    tail.reaches(1, 60.0)
    for minute in range(MINUTES):
        for _ in range(FAULTS // MINUTES + (rng.random() < FAULTS % MINUTES / MINUTES)):
            plan(draw(rng), exchange.public, exchange.private)
        if real and minute % 10 == 5:
            draw_account(rng, exchange.private)
        tail.reaches(exchange.pass_minutes(rng.choice((1, 1, 1, 1, 3))), 0.25)
    exchange.heal()
    for _ in range(8):
        tail.reaches(exchange.pass_minutes(1), 20.0)
    # An order whose every answer was lost is unknown until the exchange has had time to show it, and rightly so.
    until = time.monotonic() + ORDERS_SETTLE
    while unsettled(out / JOURNAL) and time.monotonic() < until:
        tail.reaches(exchange.pass_minutes(1), 20.0)
        time.sleep(0.2)
    os.kill(os.getpid(), signal.SIGTERM)


def cases():
    for seed in range(SCHEDULES):
        for mode in ("paper", "real"):
            marks = () if seed == 0 else pytest.mark.acceptance
            yield pytest.param(seed, mode == "real", id=f"{mode}-{seed}", marks=marks)


@pytest.mark.parametrize(("seed", "real"), list(cases()))
def test_whatever_faults_come_every_bar_comes_once_and_no_order_twice(
    model, tmp_path, monkeypatch, seed, real
):
    monkeypatch.setattr("runs.folder.write.write_report", lambda folder: None)
    out, said = tmp_path / "run", io.StringIO()
    with Exchange(tmp_path, TWO) as exchange, exchange.time.leading(SPEED):
        moving = threading.Thread(target=play, args=(exchange, out, random.Random(seed), real))
        moving.start()
        private = exchange.private.url if real else None
        trade(model, out, exchange.public.url, private, tuple(TWO), LiveStatus(said, refreshing=False))
        moving.join()
        found = verify(out, exchange.public, exchange.private, TWO)
    assert found.wrong == [], said.getvalue()[-2_000:]
    assert found.bars >= 2 * MINUTES
    assert real or found.orders == 0
