"""The observer of a run: its heartbeat, and that nothing it does can hold up or end the run."""

import contextlib
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from runs.watch import observer as observing
from runs.watch.heartbeat import HEARTBEAT, read_heartbeat
from runs.watch.observer import Observer
from runs.watch.status import read_status
from runs.watch.webhook import target_of
from tests.runs.watch.hooks import hook
from tests.runs.watch.journals import BTC, CLOSE, START, bar, live, session, write

ROOT = Path(__file__).parents[3]
STOP = {"kind": "stop", "at": CLOSE, "signal": None, "bars": 1}


class Records:
    """A journal in a folder; `append` writes a record and tells the listener."""

    def __init__(self, folder, *before):
        self.kept = list(before)
        self.path = write(folder, *self.kept) / "journal.jsonl"
        self.listener = lambda record: None

    def records(self, *kinds):
        return [{"n": number, **record} for number, record in enumerate(self.kept)]

    def append(self, *records):
        for record in records:
            self.kept.append(record)
            write(self.path.parent, *self.kept)
            self.listener({"n": len(self.kept) - 1, **record})


def until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_another_process_sees_a_run_from_its_start_to_its_end(tmp_path):
    journal = Records(tmp_path)
    watch = Observer(beat_seconds=0.01)
    with watch.over(journal):
        assert read_status(tmp_path).state == "STARTING"
        journal.append(START, session())
        until(lambda: read_heartbeat(tmp_path).session == 1)
        journal.append(live(), bar())
        watch.turn(3.0)
        watch.lag(0.4)
        until(lambda: read_heartbeat(tmp_path).lag == 0.4)
        found = read_status(tmp_path)
        assert (found.state, found.alive) == ("LIVE", True)
        assert 3.0 <= found.age() < 20.0
        assert stat.S_IMODE((tmp_path / HEARTBEAT).stat().st_mode) == 0o600
        journal.append(STOP)
    assert read_status(tmp_path).state == "ended"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["journal.jsonl", "status.json"]


def test_an_error_that_ends_a_run_is_in_its_last_heartbeat(tmp_path):
    with pytest.raises(OSError, match="no space"), Observer().over(Records(tmp_path, START, session())):
        raise OSError("no space left\nsecond line")
    found = read_status(tmp_path)
    assert (found.state, found.reason, found.exit_code) == ("failed", "no space left", 6)


def test_a_run_killed_with_9_is_killed(tmp_path):
    program = (
        "import sys, time\nfrom pathlib import Path\n"
        "from tests.runs.watch.test_observer import *\n"
        "journal = Records(Path(sys.argv[1]))\n"
        "with Observer().over(journal):\n"
        "    journal.append(START, session(), live(), bar())\n"
        "    print('ready', flush=True)\n    time.sleep(60)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"ready\n"
    assert read_status(tmp_path).alive is True
    child.send_signal(signal.SIGSTOP)
    assert read_status(tmp_path).alive is True
    child.kill()
    child.wait()
    child.stdout.close()
    found = read_status(tmp_path)
    assert (found.state, found.exit_code) == ("killed", 6)
    assert found.reason == f"process {child.pid} is gone and wrote no end"


def interrupted(journal):
    journal.append(START, session(), {"kind": "halt", "at": 1, "reason": "file KILL", "flatten": False})
    raise KeyboardInterrupt


def test_alerts_of_a_whole_run_and_the_end_is_not_lost(tmp_path):
    said = []
    with hook() as found:
        with (
            Observer(said.append, targets=[target_of(found.url)]) as watch,
            watch.over(Records(tmp_path / "a")) as _,
        ):
            pass
        assert found.events() == ["end"]
        journal = Records(tmp_path / "b")
        watch = Observer(said.append, targets=[target_of(found.url)])
        with pytest.raises(KeyboardInterrupt), watch, watch.over(journal):
            interrupted(journal)
        assert found.events()[1:] == ["start", "halt", "end"]
        assert found.posted[-1][1]["reason"] == "failed: interrupted"
        assert {alert["folder"] for _, alert in found.posted[1:]} == {"b"}
    assert said == []


def test_a_hanging_webhook_delays_no_turn_and_no_record(tmp_path, monkeypatch):
    monkeypatch.setattr(observing, "_END_SECONDS", 0.05)
    said = []
    with hook(None) as found:
        begun = time.monotonic()
        with Observer(said.append, targets=[target_of(found.url)]) as watch:
            journal = Records(tmp_path)
            with watch.over(journal):
                journal.append(START, session())
                found.wait_for(1)
                for _ in range(1000):
                    watch.turn(0.0)
                    journal.listener({"n": 9, "kind": "halt", "at": 1, "reason": "again", "flatten": False})
        assert time.monotonic() - begun < 5.0
    assert said[0] == "webhook 127.0.0.1: alerts were not delivered before the end"  # the hook is gone by now


def test_a_disk_that_takes_no_heartbeat_is_said_once_and_the_run_goes_on(tmp_path, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(observing, "write_heartbeat", full)
    said = []
    with Observer(said.append, beat_seconds=0.001).over(Records(tmp_path, START, session())):
        time.sleep(0.02)
    (text,) = said
    assert "No space left on device" in text


def test_a_closed_terminal_ends_no_thread(tmp_path):
    def closed(text):
        raise BrokenPipeError(32, "Broken pipe")

    with hook(404, 204) as found:
        with Observer(closed, targets=[target_of(found.url)]) as watch, watch.over(Records(tmp_path)) as _:
            watch._alerts.send("start", "x")
        assert found.events() == ["start", "end"]


def test_a_record_that_does_not_fit_ends_nothing(tmp_path):
    said = []
    journal = Records(tmp_path, START, session())
    with Observer(said.append).over(journal):
        journal.listener(bar(decisions=[]) | {"time": "soon"})
    assert "time: expected a whole number" in said[0]


def drain(channel):
    found = []
    channel.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            found.append(channel.recv(100))
    channel.settimeout(20)
    return found


def test_what_systemd_is_told(tmp_path, monkeypatch):
    path = str(tmp_path / "s")
    monkeypatch.setenv("NOTIFY_SOCKET", path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(path)
        channel.settimeout(20)
        watch = Observer(beat_seconds=0.01)
        journal = Records(tmp_path / "run", START, session(), live())
        with watch.over(journal):
            watch.turn(0.0)
            assert channel.recv(100) == b"READY=1"
            assert channel.recv(100).startswith(b"WATCHDOG=1\nSTATUS=")
            # An event loop that stands still is not reported as well.
            watch._turned = (time.monotonic() - 1000.0, 0.0)
            time.sleep(0.05)
            drain(channel)
            time.sleep(0.05)
            assert drain(channel) == []
        assert channel.recv(100) == b"STOPPING=1"


def test_metrics_are_those_of_the_status(tmp_path):
    journal = Records(tmp_path)
    watch = Observer(requests=lambda: {"/v5/market/kline": 3})
    with watch.over(journal):
        journal.append(START, session(), live(), bar())
        watch.turn(3.0)
        found, status = watch.snapshot(), read_status(tmp_path)
        assert (found.state, found.positions, found.bars) == ("LIVE", {BTC: -0.674}, 1)
        assert found.last_bar == status.facts.last_bar == CLOSE
        assert found.requests == {"/v5/market/kline": 3}
    assert os.getpid() == status.beat.process.pid
