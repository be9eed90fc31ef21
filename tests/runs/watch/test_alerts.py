"""Which records give which alerts."""

import re
from pathlib import Path

import pytest

from runs.watch.alerts import EVENTS, Alerts
from runs.watch.facts import Facts
from tests.runs.watch.journals import BTC, START, bar, live, session

DEPLOY = (Path(__file__).parents[3] / "docs" / "deploy.md").read_text()


@pytest.fixture
def run():
    return Run()


class Run:
    """A run whose clock only the test moves."""

    def __init__(self):
        self.posted, self.now = [], 0.0
        self.facts = Facts()
        self.alerts = Alerts(
            self.facts, "live", self.posted.append, patience=300.0, monotonic=lambda: self.now
        )
        self.add(START, session())
        self.posted.clear()

    def add(self, *records):
        for number, record in enumerate(records):
            self.facts.add({"n": number, **record})
            self.alerts.add(record)
            self.alerts.check()

    def told(self):
        return [(alert["event"], alert["symbol"]) for alert in self.posted]


def outcome(status, link="a", **more):
    return {"kind": "outcome", "symbol": BTC, "link_id": link, "status": status, "filled": "0"} | more


def test_start_halt_and_end(run):
    run.add(session(), {"kind": "halt", "at": 1, "reason": "file KILL", "flatten": False})
    run.add({"kind": "stop", "at": 1, "signal": 15, "bars": 1})
    run.alerts.end("")
    assert run.told() == [("start", None), ("halt", None), ("end", None)]
    assert [alert["reason"] for alert in run.posted] == [f"{BTC}, bars of 1m", "file KILL", "signal 15"]
    run.alerts.end("the disk is full")
    assert run.posted[-1]["reason"] == "failed: the disk is full"


def test_only_a_long_outage_is_reported_and_its_end_too(run):
    run.add(live(), live(state="DISCONNECTED", reason="1006"))
    run.now = 299.0
    run.add(live())
    assert run.told() == []
    run.add(live(state="DISCONNECTED", reason="1006"))
    run.now += 300.0
    run.alerts.check()
    run.alerts.check()
    run.now += 60.0
    run.add(live(state="DELAYED"), live())
    assert run.told() == [("disconnected", BTC), ("recovered", BTC)]
    assert [alert["reason"] for alert in run.posted] == ["for 5 min: 1006", "DELAYED after 6 min"]


def test_a_refusal_is_reported_once_until_another_outcome(run):
    poor = outcome("refused", reason="110007: not enough margin")
    run.add(poor, poor, outcome("Rejected", reason="price"), outcome("Filled"), poor)
    assert [alert["reason"] for alert in run.posted] == [
        "110007: not enough margin",
        "price",
        "110007: not enough margin",
    ]
    assert {event for event, _ in run.told()} == {"order_refused"}


def test_an_order_that_ends_without_a_fill_is_reported_like_a_refusal(run):
    run.add(outcome("Cancelled"), outcome("Cancelled"), outcome("Cancelled", filled="0.1"))
    assert run.told() == [("order_refused", BTC)]


def trouble(problem, what=BTC):
    said = f"real orders, {what}: {problem or 'works again'}"
    return {
        "kind": "notice",
        "at": 1,
        "symbol": what,
        "what": "real_orders",
        "text": said,
        "problem": problem,
    }


def test_only_trouble_with_real_orders_that_lasts_is_reported_and_its_end_too(run):
    run.add(trouble("the key has expired"), trouble(""))
    run.add(trouble("the key has expired"), trouble("the key has expired", "equity"))
    run.now = 299.0
    run.alerts.check()
    assert run.told() == []
    run.add(trouble("no answer"))
    run.now = 300.0
    run.alerts.check()
    run.alerts.check()
    run.add(trouble("the key has expired"))
    run.now = 360.0
    run.add(trouble(""), trouble("", "equity"))
    assert run.told() == [
        ("order_trouble", BTC),
        ("order_trouble", "equity"),
        ("recovered", BTC),
        ("recovered", "equity"),
    ]
    assert [alert["reason"] for alert in run.posted] == [
        "for 5 min: no answer",
        "for 5 min: the key has expired",
        "real orders work again after 6 min",
        "real orders work again after 6 min",
    ]


def test_a_halt_that_cannot_be_carried_out_is_reported_at_once(run):
    run.add(trouble("no answer"), {"kind": "halt", "at": 1, "reason": "file KILL", "flatten": True})
    run.now = 1000.0
    run.alerts.check()
    run.add(trouble("no answer", f"halt of {BTC}"))
    assert run.told() == [("halt", None), ("order_trouble", f"halt of {BTC}")]


def test_an_unknown_order_is_reported_once(run):
    run.add(outcome("unknown"), outcome("unknown"), outcome("unknown", "b"), outcome("absent"))
    assert run.told() == [("order_unknown", BTC)] * 2


def test_stops_of_the_strategy_are_reported_when_they_begin(run):
    def decided(reason):
        return bar(decisions=[{"symbol": BTC, "reason": reason}])

    run.add(*map(decided, ("trade", "drawdown_stop", "drawdown_stop", "trade", "drawdown_stop", "ruined")))
    assert [event for event, _ in run.told()] == ["drawdown_stop", "drawdown_stop", "ruined"]


def test_contradictions_of_the_exchange(run):
    notice = {"kind": "notice", "at": 1, "symbol": BTC, "text": "the stamp is 30 s ahead"}
    run.add(*(notice | {"what": what} for what in ("doubt", "hole", "trust")))
    assert run.told() == [("contradiction", BTC), ("recovered", BTC)]


def test_the_text_of_an_exchange_is_one_short_line_without_control_characters(run):
    run.add(outcome("refused", reason="\x1b[2J\r\nno\u202e" + "x" * 5000))
    (alert,) = run.posted
    assert "\\x1b[2J no\\u202e" in alert["text"]
    assert not re.search(r"[\x00-\x1f]", alert["text"])
    assert max(map(len, (alert["text"], alert["reason"]))) <= 500


def test_events_and_keys_are_those_of_the_documentation(run):
    run.alerts.end("")
    section = DEPLOY.split("\n## Alerts")[1].split("\n## ")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", section, re.MULTILINE))
    assert rows == EVENTS
    named = re.findall(r"`(\w+)`", section.split("```json")[0])
    assert named == list(run.posted[0])
