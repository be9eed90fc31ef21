"""What ends a live run, and what does not: SIGHUP, a closed terminal, doubtful bars."""

import os
import re
import signal
from pathlib import Path

import pytest

from feeds.errors import ExchangeRejected, StoreError
from feeds.live import endings
from runs.folder.rundir import RunDirError
from runs.live.halt import FATAL, PROGRAM_ERROR, KillSwitch, StopRequest, saying_why
from runs.live.status import LiveStatus
from scorenet import ConfigError
from tests.runs.live.live_market import open_at
from tests.runs.live.test_session import HOUR, START, frame, go, orders, records

DOCS = (Path(__file__).parents[3] / "docs" / "live.md").read_text("utf-8")


@pytest.fixture(autouse=True)
def _no_report(monkeypatch):
    monkeypatch.setattr("runs.folder.write.write_report", lambda folder: None)


@pytest.fixture
def _listening():
    """Tests may run under nohup, where a run does not listen to SIGHUP at all."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no SIGHUP")
@pytest.mark.usefixtures("_listening")
def test_a_closed_terminal_does_not_end_a_run(tiny_model_dir, tmp_path):
    bars = frame()
    reading, writing = os.pipe()

    def before(opened):
        if opened == open_at(bars, START + 20):
            os.close(reading)
            os.kill(os.getpid(), signal.SIGHUP)
            return 1
        return 0

    handler = signal.getsignal(signal.SIGHUP)
    with os.fdopen(writing, "w") as stream:
        status = LiveStatus(stream, refreshing=False)
        outcome = go(tiny_model_dir, tmp_path, [bars], before=before, status=status)
    assert outcome.signal is None
    assert records(tmp_path, "bar")[-1]["time"] == open_at(bars, 159) + HOUR
    [notice] = records(tmp_path, "notice")
    assert notice["what"] == "hangup"
    assert str(os.getpid()) in notice["text"]
    assert signal.getsignal(signal.SIGHUP) is handler


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no SIGHUP")
def test_under_nohup_the_signal_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopRequest().listening():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_while_stamps_contradict_nothing_is_traded_and_a_restart_decides_the_same(tiny_model_dir, tmp_path):
    bars = frame()
    low, high = open_at(bars, START + 30), open_at(bars, START + 60)

    def suspect(opened):
        return low <= opened < high

    go(tiny_model_dir, tmp_path / "free", [bars])
    go(tiny_model_dir, tmp_path / "doubt", [bars], suspect=suspect, max_bars=45)
    go(tiny_model_dir, tmp_path / "doubt", [bars], suspect=suspect)
    found = records(tmp_path / "doubt", "bar")
    doubtful = [record for record in found if record["doubtful"]]
    assert len(doubtful) == 30
    assert {record["decisions"][0]["reason"] for record in doubtful} == {"doubtful"}
    assert not any(record["orders"] for record in doubtful)
    [symbol] = found[0]["positions"]
    assert len({record["positions"][symbol] for record in doubtful[1:]}) == 1, "the position is kept"
    traded = [r["time"] for r in records(tmp_path / "free", "bar") if r["orders"]]
    assert any(low < time <= high for time in traded), "without the doubt there were trades"
    assert orders(tmp_path / "doubt")
    notices = records(tmp_path / "doubt", "notice")
    assert {notice["what"] for notice in notices} == {"doubt"}
    assert notices[0]["symbol"] == symbol


def test_the_table_of_fatal_faults_is_that_of_the_documentation():
    assert dict(endings.FATAL).items() <= FATAL.items()
    section = DOCS.split("## What ends a run")[1].split("\n## ")[0]
    written = re.findall(r"^\| (.+?) \|", section, re.MULTILINE)
    assert {*FATAL.values(), PROGRAM_ERROR} <= set(written)


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (StoreError("x"), "the store cannot be written for two minutes"),
        (RunDirError("x"), "the journal or the run folder cannot be used"),
        (ZeroDivisionError("x"), "an error of the program"),
    ],
)
def test_a_run_that_ends_by_a_fault_says_which(error, why):
    said = []
    with pytest.raises(type(error)), saying_why(said.append):
        raise error
    assert said == [f"the run ends: {why}; positions stay as they are"]


def test_no_failure_of_the_exchange_is_fatal():
    assert not any(issubclass(ExchangeRejected, kind) for kind in FATAL)


@pytest.mark.parametrize("loss", [float("nan"), -0.1, 1.0, float("inf")])
def test_a_largest_loss_that_is_no_fraction_is_refused(tmp_path, loss):
    with pytest.raises(ConfigError, match="--max-loss: expected a fraction"):
        KillSwitch(tmp_path, cash=1000.0, max_loss=loss)
