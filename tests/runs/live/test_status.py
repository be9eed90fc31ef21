"""The terminal output of a live run, and which threads may write to it."""

import io
import logging
import os
from decimal import Decimal

import pytest

from runs.live.status import LiveStatus, describe_bar

BTC = "BTC/USDT:USDT"


def record(**more):
    decision = {"symbol": BTC, "close": 231.69, "target": -0.02, "reason": "cooldown"}
    whole = {"time": 1719764820000, "equity": 9998.017, "positions": {BTC: -0.674}, "decisions": [decision]}
    return whole | more


def status(stream, **options):
    return LiveStatus(stream, **{"refreshing": False, "time_of_day": lambda: "12:00:00Z", **options})


def test_a_bar_in_one_line():
    assert describe_bar(record(), None, 12.3) == (
        "2024-06-30 16:27 (12 s ago)  equity 9,998.02  BTC/USDT 231.69  position -0.674  target -0.02 cooldown"
    )
    assert "position -0.674 (real -0.655)" in describe_bar(record(), {BTC: Decimal("-0.655")})
    decision = {"symbol": BTC, "close": None, "target": 0.0, "reason": "warmup"}
    assert "no price" in describe_bar(record(decisions=[decision]))


def test_what_is_said_stands_above_the_line_that_is_refreshed():
    stream = io.StringIO()
    shown = status(stream, refreshing=True, width=lambda: 40, monotonic=lambda: 0.0)
    shown.say("paper: BTC")
    shown.state(BTC, "LIVE")
    shown.bar(record(), 0.4)
    shown.say("halted: file KILL")
    text = stream.getvalue()
    assert text.startswith("12:00:00Z  paper: BTC\n")
    assert "\r\x1b[K12:00:00Z  halted: file KILL\n\rLIVE" in text
    shown.close()
    assert stream.getvalue().endswith("\n")
    shown.say("report")
    assert stream.getvalue().endswith("\x1b[K\n12:00:00Z  report\n")


def test_quiet_leaves_what_happens():
    stream = io.StringIO()
    for refreshing in (False, True):
        shown = status(stream, quiet=True, refreshing=refreshing)
        shown.state(BTC, "LIVE")
        shown.bar(record(), 0.4)
        shown.refresh(1.0)
        shown.close()
    assert stream.getvalue() == ""
    shown.say("halted: file KILL")
    assert stream.getvalue() == "12:00:00Z  halted: file KILL\n"


def test_a_pipe_is_told_why_a_feed_is_away():
    stream = io.StringIO()
    status(stream).state(BTC, "DISCONNECTED", "the exchange closed the connection (1006)")
    assert stream.getvalue() == f"DISCONNECTED {BTC}  the exchange closed the connection (1006)\n"


def test_an_outage_shows_its_age_and_a_log_repeats_it_ever_more_rarely():
    now = [0.0]
    stream = io.StringIO()
    shown = status(stream, monotonic=lambda: now[0])
    shown.state(BTC, "DISCONNECTED", "HTTP 404")
    for now[0] in range(0, 601, 5):
        shown.refresh(None)
    lines = stream.getvalue().splitlines()
    assert [line.split()[1] for line in lines[1:]] == ["60", "120", "240", "480"]
    assert lines[1] == f"DISCONNECTED 60 s {BTC}  HTTP 404"
    shown.state(BTC, "DISCONNECTED", "it was delisted")
    assert stream.getvalue().endswith(f"DISCONNECTED {BTC}  it was delisted\n")
    shown.bar(record(), 0.4)
    assert stream.getvalue().splitlines()[-1].startswith("DISCONNECTED 600 s 2024-06-30")
    shown.state(BTC, "LIVE")
    shown.bar(record(), 0.4)
    assert stream.getvalue().splitlines()[-1].startswith("LIVE ")


@pytest.mark.parametrize("refreshing", [True, False])
def test_a_reader_that_is_gone_ends_nothing(refreshing):
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream:
        shown = status(stream, refreshing=refreshing)
        os.close(reading)
        for _ in range(3):
            shown.say("halted: file KILL")
            shown.state(BTC, "DISCONNECTED")
            shown.bar(record(), 0.4)
            shown.refresh(1.0)
        shown.close()
        # Also what others write to it, and the interpreter at its end.
        print("progress", file=stream, flush=True)


def test_warnings_are_said_once_until_another_comes_and_go_nowhere_else(capfd):
    stream = io.StringIO()
    logger = logging.getLogger("feeds.somewhere")
    with status(stream).showing_warnings("feeds"):
        for text in ("lost", "lost", "lost", "two versions", "lost"):
            logger.warning("%s: %s", BTC, text)
        logger.info("nothing of interest")
    said = [line.rsplit(" ", 1)[-1] for line in stream.getvalue().splitlines()]
    assert said == ["lost", "versions", "lost"]
    assert capfd.readouterr().err == ""
    assert logging.getLogger("feeds").propagate
    assert not logging.getLogger("feeds").handlers
