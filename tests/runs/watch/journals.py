"""Run folders for tests of what is read from them: journals by record, heartbeats by hand."""

from __future__ import annotations

import os
from pathlib import Path

from runs.watch.heartbeat import Heartbeat, write_heartbeat
from runs.watch.process import Process
from scorenet.base.sealed import seal

__all__ = ["BTC", "CLOSE", "START", "bar", "beat", "session", "start", "write"]

BTC = "BTC/USDT:USDT"
CLOSE = 1_719_764_820_000
START = {
    "kind": "start",
    "run": "1a2b3c4d",
    "first": CLOSE - 7_200_000,
    "trade_from": CLOSE,
    "settings": {"symbols": [BTC], "timeframe": "1m"},
}


def start(**settings):
    return START | {"settings": START["settings"] | settings}


def session(**more):
    return {"kind": "session", "at": CLOSE, "mode": "paper", "place": "", "torn": 0} | more


def bar(close=CLOSE, **more):
    decision = {"symbol": BTC, "close": 231.69, "target": -0.02, "reason": "cooldown"}
    return {
        "kind": "bar",
        "time": close,
        "equity": 9998.0,
        "cash": 9000.0,
        "positions": {BTC: -0.674},
        "decisions": [decision],
    } | more


def live(symbol=BTC, state="LIVE", reason="", at=CLOSE):
    return {"kind": "status", "at": at, "symbol": symbol, "state": state, "reason": reason}


def write(folder: Path, *records: dict, tail: bytes = b"") -> Path:
    """Write a journal of these records, each sealed; `n` is added."""
    folder.mkdir(parents=True, exist_ok=True)
    crc, lines = 0, []
    for number, record in enumerate(records):
        line, crc = seal({"n": number, **record}, crc)
        lines.append(line)
    (folder / "journal.jsonl").write_bytes(b"".join(lines) + tail)
    return folder


def beat(folder: Path, *, process: Process | None = None, ago: float = 0.0, **more) -> None:
    """Write a heartbeat of this process, or of another, as it was `ago` seconds ago."""
    found = vars(Heartbeat.now(process or Process.own(), **more))
    found = found | {"at": found["at"] - int(1000 * ago), "monotonic": found["monotonic"] - int(1000 * ago)}
    write_heartbeat(folder, Heartbeat(**found))


def gone() -> Process:
    """Return a process of this machine that has ended."""
    own = Process.own()
    child = os.fork() if hasattr(os, "fork") else 0
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return Process(child, "1", own.place)
