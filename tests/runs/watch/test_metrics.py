"""Metrics in Prometheus' text format, read as Prometheus reads them."""

import re
import socket
import sys
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from runs.watch.metrics import MetricsServer, PortTaken, Snapshot
from tests.runs.watch.journals import BTC

ROOT = Path(__file__).parents[3]
FOUND = Snapshot(
    state="LIVE",
    halted=False,
    age=12.5,
    lag=0.4,
    loop_age=0.1,
    last_bar=1_719_764_820_000,
    equity=9998.25,
    positions={BTC: -0.674},
    real_positions={BTC: -0.655},
    unknown_orders=1,
    order_troubles=2,
    refused_orders={BTC: 3},
    bars=64,
    disconnections=2,
    requests={"/v5/market/kline": 7},
    lost_alerts=3,
    labels={"run": "1a2b", "mode": "paper", "place": "", "timeframe": "1m"},
)


@pytest.fixture(scope="module")
def served():
    """Return what is served for a snapshot."""
    shown = []
    server = MetricsServer("127.0.0.1", 0, lambda: shown[-1])

    def read(found):
        shown.append(found)
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        return [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    yield read
    server.close()


def test_every_figure_is_served(served):
    samples = served(FOUND)
    values = {sample.name.removeprefix("scorenet_live_"): sample.value for sample in samples}
    assert values["bar_age_seconds"] == 12.5
    assert values["equity"] == 9998.25
    assert values["last_bar_timestamp_seconds"] == 1_719_764_820.0
    assert (values["bars_total"], values["disconnections_total"], values["lost_alerts_total"]) == (64, 2, 3)
    by_label = {(s.name, *s.labels.values()): s.value for s in samples}
    assert by_label["scorenet_live_position", BTC] == -0.674
    assert by_label["scorenet_live_real_position", BTC] == -0.655
    assert by_label["scorenet_live_requests_total", "/v5/market/kline"] == 7
    assert values["order_troubles"] == 2
    assert by_label["scorenet_live_refused_orders", BTC] == 3
    assert [s.labels["state"] for s in samples if s.name == "scorenet_live_state" and s.value] == ["LIVE"]


def test_what_is_not_known_is_left_out_and_not_zero(served):
    names = {s.name for s in served(replace(FOUND, age=None, equity=None, last_bar=None))}
    assert not names & {"scorenet_live_bar_age_seconds", "scorenet_live_equity"}
    assert "scorenet_live_halted" in names


def test_labels_are_escaped(served):
    hostile = 'a"}\n\\ 1\nscorenet_live_halted 1'
    samples = served(replace(FOUND, positions={hostile: 1.0}))
    assert [s.labels["symbol"] for s in samples if s.name == "scorenet_live_position"] == [hostile]
    assert [s.value for s in samples if s.name == "scorenet_live_halted"] == [0.0]


def test_names_are_those_of_the_documentation_and_the_alert_rules(served):
    served_names = {sample.name for sample in served(FOUND)}
    section = (ROOT / "docs" / "deploy.md").read_text().split("\n## Metrics")[1].split("\n## ")[0]
    assert set(re.findall(r"`(scorenet_live_\w+)`", section)) == served_names
    rules = (ROOT / "docs" / "deploy" / "scorenet-alerts.yml").read_text()
    assert set(re.findall(r"scorenet_live_\w+", rules)) <= served_names


def test_a_connection_that_says_nothing_is_closed(monkeypatch, capfd):
    monkeypatch.setattr("runs.watch.metrics._SILENT_SECONDS", 0.1)
    server = MetricsServer("127.0.0.1", 0, lambda: FOUND)
    try:
        with socket.create_connection(("127.0.0.1", server.port), timeout=5.0) as silent:
            assert silent.recv(1) == b""
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=5.0) as answer:
            assert answer.status == 200
    finally:
        server.close()
    assert capfd.readouterr().err == ""


def test_a_port_that_is_taken_is_an_error_of_one_line():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PortTaken, match=rf"127\.0\.0\.1:{port}: .*choose another --metrics-port"):
            MetricsServer("127.0.0.1", port, lambda: FOUND)


def test_without_the_library_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(ModuleNotFoundError, match=r"scorenet\[ops\]"):
        MetricsServer("127.0.0.1", 0, lambda: FOUND)
