"""`scorenet live` on the loopback exchange, watched from outside: status, metrics, alerts, secrets."""

import json
import socket
import urllib.request

import pytest
from click.testing import CliRunner

from runs.cli import main
from runs.watch.heartbeat import HEARTBEAT
from tests.runs.live.test_live_cli import advance, exchange, finish, run, start, work
from tests.runs.watch.hooks import hook

__all__ = ["exchange", "work"]


def tell(folder):
    done = CliRunner().invoke(main, ["status", str(folder), "--json"])
    return done.exit_code, json.loads(done.stdout)


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def test_a_short_run_sends_its_alerts_and_keeps_the_webhook_secret(exchange, work, monkeypatch):
    monkeypatch.setattr("sys.argv", ["scorenet", "live", "--notify", "SET-BELOW"])
    with hook() as found, hook(500) as dead:
        monkeypatch.setenv("SCORENET_NOTIFY_URL", f" {found.url}  {dead.url}\n")
        monkeypatch.setattr("sys.argv", ["scorenet", "live", "--notify", found.url, f"--notify={dead.url}"])
        done = run(exchange, "--out", "run", "--max-bars", "0")
        assert done.exit_code == 0, done.stderr
        assert found.events() == ["start", "end"]
        assert found.posted[0][1]["text"].startswith("scorenet run (paper, run ")
        assert done.stderr.count("HTTP 500") == 1
    kept = b"".join(path.read_bytes() for path in (work / "run").rglob("*") if path.is_file())
    assert b"--notify https://127.0.0.1/..." in kept
    assert b"SECRET" not in kept + done.output.encode() + done.stderr.encode()
    code, status = tell("run")
    assert (code, status["state"], status["alive"]) == (5, "ended", False)
    assert (status["mode"], status["symbols"]) == ("paper", ["BTC/USDT:USDT"])


def test_wrong_usage_is_said_before_anything_is_traded(exchange, work):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        done = run(exchange, "--out", "run", "--metrics-port", other.getsockname()[1])
    assert done.exit_code == 1
    assert "choose another --metrics-port" in done.stderr
    done = run(exchange, "--out", "run", "--notify", "http://example.com/SECRET")
    assert done.exit_code == 2
    assert "expected https://" in done.stderr
    assert "SECRET" not in done.stderr
    assert not (work / "run").exists()


def test_a_run_that_cannot_start_says_so_to_the_webhook(exchange, work):
    with hook() as found:
        assert run(exchange, "--notify", found.url, "--timeframe", "4h").exit_code == 1
        assert found.events() == ["end"]
        assert "trained on 1h bars" in found.posted[0][1]["reason"]


@pytest.mark.acceptance
def test_from_another_terminal_a_run_is_live_and_then_killed(exchange, work):
    port, out = free_port(), work / "run"
    process = start(exchange, work, "--out", "run", "--metrics-port", port)
    advance(exchange, out, process, 2)
    code, status = tell(out)
    assert (code, status["state"], status["alive"], status["pid"]) == (0, "LIVE", True, process.pid)
    assert status["bars"] == 23
    assert (out / HEARTBEAT).stat().st_mode & 0o077 == 0
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    assert 'scorenet_live_state{state="LIVE"} 1.0' in text
    assert "scorenet_live_bars_total 23.0" in text
    assert 'scorenet_live_requests_total{path="' in text
    process.kill()
    finish(process)
    code, status = tell(out)
    assert (code, status["state"], status["alive"]) == (6, "killed", False)
