"""`scorenet live` on the loopback exchange: stop, kill, restart, and wrong usage."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import MappingProxyType

import pandas as pd
import pytest
from click.testing import CliRunner

from feeds import simulate, write_bars
from feeds.exchange.retry import Retry
from runs.cli import main
from runs.live.halt import keeping_halt
from runs.live.journal import JOURNAL, open_journal
from scorenet import ScorenetError
from scorenet.base.waits import Heard
from tests.bybit import HOUR, Deposit, LoopbackBybit, Reset, faults
from tests.bybit.fixtures import NOW
from tests.bybit.virtual_time import VirtualTime

ROOT = Path(__file__).parents[3]
OPEN = NOW // HOUR * HOUR
REAL = {"BYBIT_API_KEY": Deposit().key, "BYBIT_API_SECRET": Deposit().secret}
LOOSE = ("--set", "confidence_threshold=0.0", "--set", "rebalance_band=0.05", "--set", "density_quantile=0.0")


@pytest.fixture
def exchange(tmp_path):
    timer = VirtualTime(tmp_path / "timer")
    with (
        LoopbackBybit(clock=OPEN + HOUR // 2, limit=(100_000, 5.0), timer=timer) as server,
        timer.leading(1.0),
    ):
        yield server


@pytest.fixture
def work(tmp_path, tiny_model_dir, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_model_dir, tmp_path / "model")
    return tmp_path


def words(exchange, *more, model="model", symbol="BTCUSDT"):
    asked = ["live", "--model", model, "--symbol", symbol, "--base-url", exchange.url, *LOOSE, *more]
    return [str(word) for word in asked]


def start(exchange, work, *more, env=MappingProxyType({}), **named):
    program = f"""
from pathlib import Path
from runs.cli import main
from tests.bybit.virtual_time import VirtualTime
with VirtualTime(Path({str(work / "timer")!r})).leading(1.0):
    main(prog_name="scorenet")
"""
    return subprocess.Popen(
        [sys.executable, "-c", program, *words(exchange, *more, **named)],
        cwd=work,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(exchange, *more, **named):
    return CliRunner().invoke(main, words(exchange, *more, **named), prog_name="scorenet")


def journal(out, *kinds):
    """Read a journal, even while it is being written."""
    lines = (out / JOURNAL).read_text().splitlines() if (out / JOURNAL).exists() else []
    found = []
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:
            break
        if not kinds or record["kind"] in kinds:
            found.append(record)
    return found


def advance(exchange, out, process, bars):
    """Close `bars` bars, each after the previous one was traded."""
    for _ in range(bars):
        wait_for(lambda: any(r["state"] == "LIVE" for r in journal(out, "status")), process)
        before = exchange.clock // HOUR * HOUR
        wait_for(lambda before=before: any(r["time"] >= before for r in journal(out, "bar")), process)
        exchange.clock = before + HOUR + 2_000
        wait_for(lambda before=before: any(r["time"] > before for r in journal(out, "bar")), process)


def wait_for(condition, process, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not condition():
        if process.poll() is not None:
            raise AssertionError(f"ended with {process.returncode}: {process.communicate()}")
        assert time.monotonic() < deadline
        time.sleep(0.02)


def finish(process):
    out, err = process.communicate(timeout=90)
    return process.returncode, out, err


# Stop, kill, start again --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.acceptance)],
)
def test_it_trades_stops_when_asked_and_goes_on(exchange, work, number, code):
    out = work / "out" / "live-BTCUSDT-1h"
    process = start(exchange, work)
    advance(exchange, out, process, 3)
    process.send_signal(number)
    status, shown, said = finish(process)
    assert status == code, said
    assert "Total return" in shown
    assert "the same command continues the run" in said
    assert said.count("equity") == 3
    assert (out / "report.html").is_file()
    assert (out / "metrics.json").is_file()
    again = start(exchange, work, "--max-bars", "1", "--json")
    advance(exchange, out, again, 1)
    status, shown, said = finish(again)
    assert status == 0, said
    assert json.loads(shown)["bars"] == 4
    times = [record["time"] for record in journal(out, "bar")]
    assert times == list(range(times[0], times[-1] + 1, HOUR))


@pytest.mark.parametrize("answers", [1, 10_000])
def test_an_old_answer_about_the_time_does_not_end_a_restart(exchange, work, answers):
    out, true, old = work / "out" / "live", exchange._envelope, []
    process = start(exchange, work, "--out", out)
    advance(exchange, out, process, 2)
    process.send_signal(signal.SIGTERM)
    assert finish(process)[0] == 143
    exchange.clock += 3 * HOUR

    def envelope(path, *rest):
        answer = true(path, *rest)
        if path.endswith("/time") and len(old) < answers:
            old.append(path)
            answer["time"] -= 9 * HOUR
            answer["result"]["timeSecond"] = str(answer["time"] // 1000)
            answer["result"]["timeNano"] = str(answer["time"] * 1_000_000)
        return answer

    exchange._envelope = envelope
    states = len(journal(out, "status"))
    again = start(exchange, work, "--out", out, *(("--max-bars", "3") if answers == 1 else ()))
    if answers == 1:
        status, _, said = finish(again)
        assert status == 0, said
        assert [record["late"] for record in journal(out, "bar")][-3:] == [True, True, False]
        return
    # While every answer is old, it goes on all the same.
    wait_for(lambda: len(journal(out, "status")) > states and len(old) > 5, again)
    again.send_signal(signal.SIGTERM)
    assert finish(again)[0] == 143


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="this system does not say who listens")
def test_a_halt_that_is_asked_for_while_the_program_loads_is_in_the_journal(exchange, work):
    out = work / "out" / "live"
    process = start(exchange, work, "--out", out, "--max-bars", "0")
    wait_for(lambda: hears(process, signal.SIGUSR1), process)
    assert not (out / JOURNAL).exists()
    process.send_signal(signal.SIGUSR1)
    status, _, said = finish(process)
    assert status == 0, said
    assert [record["reason"] for record in journal(out, "halt")] == ["SIGUSR1"]


def hears(process, number):
    """Return whether a process has a handler of a signal."""
    text = Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"^SigCgt:\s*(\w+)", text, re.MULTILINE)[1], 16) >> (number - 1) & 1


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="this system has no SIGUSR1")
def test_a_halt_that_no_journal_could_record_halts_the_next_start(exchange, work):
    out, heard = work / "out" / "live", Heard("SIGUSR1")

    def fail():
        with heard.listening(), keeping_halt(heard, str(out), print):
            os.kill(os.getpid(), signal.SIGUSR1)
            raise ScorenetError("the disk is full")

    with pytest.raises(ScorenetError, match="the disk is full"):
        fail()
    assert run(exchange, "--out", out, "--max-bars", "0").exit_code == 0
    assert [record["reason"] for record in journal(out, "halt")] == ["file KILL"]


def test_a_market_that_was_delisted_while_the_run_was_down_does_not_stop_the_others(exchange, work):
    out = work / "out" / "live-BTCUSDT-ETHUSDT-1h"
    both = ("--symbol", "ETHUSDT", "--real-orders", "--max-order", "1e6", "--max-position", "1e6")
    process = start(exchange, work, *both, env=REAL)
    advance(exchange, out, process, 2)
    process.send_signal(signal.SIGTERM)
    assert finish(process)[0] == 143
    exchange.delist("ETHUSDT", refuse=True)

    again = start(exchange, work, *both, "--max-bars", "2", "--json", env=REAL)
    bars = len(journal(out, "bar"))
    wait_for(lambda: any(r.get("what") == "unlisted" for r in journal(out, "notice")), again)
    for _ in range(2):
        exchange.clock = exchange.clock // HOUR * HOUR + HOUR + 2_000
        bars += 1
        wait_for(lambda bars=bars: len(journal(out, "bar")) >= bars or again.poll() is not None, again)
    status, _, said = finish(again)
    assert status == 0, said
    assert "bybit lists no 'ETHUSDT'" in said
    assert [sorted(r["bars"]) for r in journal(out, "bar")][-2:] == [["BTC/USDT:USDT"]] * 2

    fresh = run(exchange, "--symbol", "ETHUSDT", "--out", "out/other")
    assert fresh.exit_code == 2
    assert "bybit lists no 'ETHUSDT'" in fresh.stderr


def test_the_bars_that_it_stored_give_the_same_decisions_offline(exchange, work):
    out = work / "run"
    process = start(exchange, work, "--out", "run", "--max-bars", "6")
    advance(exchange, out, process, 6)
    assert finish(process)[0] == 0
    since = journal(out, "start")[0]["trade_from"] - HOUR
    asked = ["backtest", "--model", "model", "--bars", "bybit:BTC/USDT:USDT@1h", "--offline", *LOOSE]
    done = CliRunner().invoke(main, [*asked, "--since", str(since), "--out", "offline"])
    assert done.exit_code == 0, done.output
    live, offline = (
        pytest.importorskip("pandas").read_parquet(work / name / "decisions.parquet")
        for name in ("run", "offline")
    )
    assert len(live) == 6
    assert (live["reason"] == "trade").any()
    pd.testing.assert_frame_equal(live, offline, check_exact=True)


@pytest.mark.acceptance
def test_killed_at_random_points_it_ends_as_if_it_had_never_been(exchange, work):
    chance, bars = random.Random(2), 24
    whole = start(exchange, work, "--out", "whole", "--max-bars", bars, "--data-dir", "one")
    begun = exchange.clock
    advance(exchange, work / "whole", whole, bars)
    assert finish(whole)[0] == 0
    exchange.clock = begun
    out, deaths = work / "killed", 0
    while len(journal(out, "bar")) < len(journal(work / "whole", "bar")):
        process = start(exchange, work, "--out", "killed", "--data-dir", "two")
        for _ in range(chance.randrange(1, 4)):
            if len(journal(out, "bar")) < len(journal(work / "whole", "bar")):
                advance(exchange, out, process, 1)
        time.sleep(chance.random() * 0.05)
        process.kill()
        process.communicate()
        deaths += 1
    assert deaths >= 8
    ignored = ("n", "crc")
    one, other = (
        [{k: v for k, v in record.items() if k not in ignored} for record in journal(folder, "bar")]
        for folder in (work / "whole", out)
    )
    assert one == other


def test_bars_missed_while_it_was_away_are_not_traded(exchange, work):
    out = work / "run"
    process = start(exchange, work, "--out", "run", "--max-bars", "2")
    advance(exchange, out, process, 2)
    assert finish(process)[0] == 0
    exchange.clock += 5 * HOUR
    again = start(exchange, work, "--out", "run", "--max-bars", "6")
    advance(exchange, out, again, 1)
    assert finish(again)[0] == 0
    records = journal(out, "bar")[-6:]
    assert [record["late"] for record in records] == [True] * 4 + [False] * 2
    assert [record["decisions"][0]["reason"] for record in records[:4]] == ["stale"] * 4
    assert not any(record["orders"] for record in records[:4])


def test_an_outage_is_told_once_with_its_reason_and_journaled(exchange, work):
    process = start(exchange, work, "--out", "run", "--max-bars", "2")
    advance(exchange, work / "run", process, 1)
    exchange.inject(Reset(), on="ws:push")
    advance(exchange, work / "run", process, 1)
    status, _, said = finish(process)
    assert status == 0, said
    (lost,) = [r for r in journal(work / "run", "status") if r["state"] == "DISCONNECTED"]
    assert "connection" in lost["reason"]
    assert f"DISCONNECTED BTC/USDT:USDT  {lost['reason']}" in said
    assert said.count(f"1h: {lost['reason']}") == 1


# Wrong usage -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("named", "more", "code", "told"),
    [
        ({"symbol": "BTCUSD1"}, (), 2, "did you mean"),
        ({"model": "nowhere"}, (), 1, "nowhere"),
        ({}, ("--timeframe", "4h"), 1, "trained on 1h bars"),
        ({}, ("--set", "cooldwn=3"), 2, "did you mean 'cooldown'"),
        ({}, ("--symbol", "BTC/USDT:USDT"), 2, "each symbol once"),
        ({}, ("--cash", "-1"), 2, "cash: expected a positive amount"),
        ({}, ("--since", "2024-06-30"), 2, "needs 21 bars of warm-up"),
    ],
)
def test_what_cannot_work_is_said_in_a_line(exchange, work, named, more, code, told):
    done = run(exchange, *more, **named)
    assert done.exit_code == code, done.stderr
    assert told in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2
    assert not done.stdout


def test_an_exchange_that_is_not_there_is_said_so(work, monkeypatch):
    class Nowhere:
        url = "http://127.0.0.1:9"

    monkeypatch.setattr("feeds.exchange.market.Retry", lambda: Retry(attempts=1))
    done = run(Nowhere)
    assert done.exit_code == 1
    assert "bybit: the request for" in done.stderr


@pytest.mark.acceptance
def test_a_restart_waits_for_an_exchange_that_does_not_answer_and_then_goes_on(exchange, work):
    out = work / "out" / "live"
    process = start(exchange, work, "--out", out)
    advance(exchange, out, process, 2)
    process.kill()
    process.communicate()
    for on in ("/v5/market/time", "/v5/market/instruments-info", "/v5/market/kline"):
        exchange.inject(faults.Respond(503), on=on, times=10_000)
    begun = len(exchange.log)
    again = start(exchange, work, "--out", out, "--max-bars", "1", "--json")
    wait_for(lambda: len(exchange.log) > begun + 8, again)  # more than the attempts of one request
    exchange.heal()
    advance(exchange, out, again, 1)
    status, shown, said = finish(again)
    assert status == 0, said
    assert json.loads(shown)["bars"] == 3
    assert "the run of this folder goes on once the exchange answers" in said


@pytest.mark.acceptance
def test_a_halt_that_is_asked_for_while_a_restart_waits_is_left_for_the_next_one(exchange, work):
    out = work / "out" / "live"
    assert run(exchange, "--out", out, "--max-bars", "0").exit_code == 0
    for on in ("/v5/market/time", "/v5/market/instruments-info"):
        exchange.inject(faults.Respond(503), on=on, times=10_000)
    begun = len(exchange.log)
    again = start(exchange, work, "--out", out)
    wait_for(lambda: len(exchange.log) > begun + 3, again)
    again.send_signal(signal.SIGUSR1)
    status, _, said = finish(again)
    assert status == 1
    assert "KILL halts the next start" in said
    assert (out / "KILL").exists()


def test_another_run_in_the_same_folder_is_refused(exchange, work):
    with open_journal(work / "run"):
        done = run(exchange, "--out", "run")
    assert done.exit_code == 1
    assert "another process" in done.stderr


def test_other_settings_are_refused_and_a_backtest_does_not_overwrite_a_journal(exchange, work):
    assert run(exchange, "--out", "run", "--max-bars", "0").exit_code == 0
    done = run(exchange, "--out", "run", "--set", "cooldown=3")
    assert done.exit_code == 2
    assert "strategy.cooldown was 0, is 3" in done.stderr
    write_bars(simulate("planted", seed=6, bars=100), work / "bars.parquet")
    asked = ["backtest", "--model", "model", "--bars", "bars.parquet", "--out", "run"]
    assert CliRunner().invoke(main, asked).exit_code == 1
    assert len(journal(work / "run", "start")) == 1
