"""The status of a live run, read from its folder by another process. Nothing is locked, nothing is changed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scorenet.base.printable import printable
from scorenet.base.sealed import BrokenLine, record_of, sealed_lines, unfinished
from scorenet.base.times import wall_ms

from ..folder.errors import CorruptJournal, NotARunDir, RunDirError, RunDirMissing
from .facts import Facts, Feed
from .fields import Unfit
from .heartbeat import Heartbeat, read_heartbeat
from .process import is_alive

__all__ = ["EXIT_CODES", "JOURNAL", "RunStatus", "judge", "read_status", "seconds_of"]

EXIT_CODES = {
    "LIVE": 0,
    "STARTING": 3,
    "DELAYED": 3,
    "DISCONNECTED": 3,
    "stuck": 3,
    "halted": 4,
    "ended": 5,
    "failed": 6,
    "killed": 6,
}
"""The exit code of `scorenet status` by state; 1 stands for a folder without a readable live run, 2 for wrong usage."""

JOURNAL = "journal.jsonl"
_BAR = b'"kind":"bar"'
_BEAT_SECONDS = 60.0  # the run writes a heartbeat every 5 s
_LOOP_SECONDS = 300.0  # longer than an order and its lookups take
_NEXT_BAR_SECONDS = 60.0
_UNITS = {"m": 60, "h": 3600, "d": 86_400}


@dataclass(frozen=True, kw_only=True)
class RunStatus:
    """The status of a run: `state` is a key of `EXIT_CODES`, `reason` says why, in words.

    `beat` is the last heartbeat of the last session, `alive` whether its process runs (None: that cannot be known).
    """

    folder: Path
    facts: Facts
    beat: Heartbeat | None
    alive: bool | None
    torn: int
    state: str
    reason: str

    @property
    def exit_code(self) -> int:
        """Return the exit code of `scorenet status`."""
        return EXIT_CODES.get(self.state, 3)

    def age(self) -> float | None:
        """Return the seconds since the close of the last bar: by the exchange's clock while the run beats."""
        if self.facts.last_bar is None:
            return None
        if self.beat is not None and self.beat.age is not None and not self._is_over():
            return self.beat.age + self.beat.seconds_ago()
        return max(wall_ms() - self.facts.last_bar, 0) / 1000.0

    def _is_over(self) -> bool:
        return self.state in ("ended", "failed", "killed")

    def to_dict(self) -> dict[str, Any]:
        """Return the keys of `scorenet status --json`; docs/deploy.md explains each."""
        facts, beat = self.facts, self.beat
        return {
            "state": self.state,
            "reason": self.reason,
            "exit_code": self.exit_code,
            "run": facts.run,
            "folder": str(self.folder),
            "mode": facts.mode,
            "place": facts.place,
            "symbols": list(facts.symbols),
            "timeframe": facts.timeframe,
            "feeds": {symbol: vars(feed) for symbol, feed in facts.feeds.items()},
            "halt": None if facts.halt is None else vars(facts.halt),
            "bars": facts.bars,
            "last_bar": facts.last_bar,
            "age": self.age(),
            "lag": None if beat is None else beat.lag,
            "equity": facts.equity,
            "cash": facts.cash,
            "positions": dict(facts.positions),
            "real_positions": {symbol: str(size) for symbol, size in facts.ledger.held.items()}
            if facts.had_real
            else None,
            "unknown_orders": [
                {"link_id": link, **vars(order)} for link, order in facts.ledger.unknown.items()
            ],
            "order_troubles": [{"what": what, **vars(trouble)} for what, trouble in facts.troubles.items()],
            "refused_orders": {symbol: vars(found) for symbol, found in facts.ledger.refusals.items()},
            "disconnections": facts.disconnections,
            "sessions": facts.sessions,
            "pid": None if beat is None else beat.process.pid,
            "alive": self.alive,
            "heartbeat_age": None if beat is None else beat.seconds_ago(),
            "loop_age": None if beat is None else beat.loop_age,
            "torn": self.torn,
        }


def read_status(run_dir: str | Path) -> RunStatus:
    """Return the status of the live run in a folder.

    Raises:
        RunDirMissing: there is no such folder.
        NotARunDir: it holds no live run.
        CorruptJournal: the journal is damaged, or no live run has written it.
        RunDirError: the journal cannot be read.
    """
    folder = Path(run_dir).resolve()
    path = folder / JOURNAL
    if not folder.exists():
        raise RunDirMissing(f"no run folder at {run_dir}; expected the --out of `scorenet live`")
    if not folder.is_dir() or not path.exists():
        raise NotARunDir(
            f"{run_dir} holds no live run: it has no {JOURNAL}; expected the --out of `scorenet live`"
        )
    beat = read_heartbeat(folder)
    try:
        facts, torn = _read(path)
        if beat is None or beat.session != facts.session:
            beat = read_heartbeat(folder)  # a session may have begun in between
    except (BrokenLine, Unfit) as error:
        raise CorruptJournal.of(path, error) from error
    except OSError as error:
        raise RunDirError(f"cannot read {path}: {error.strerror or error}") from error
    alive = None if beat is None else False if beat.ended else is_alive(beat.process)
    state, reason = judge(facts, beat, alive)
    return RunStatus(
        folder=folder,
        facts=facts,
        beat=beat,
        alive=alive,
        torn=0 if alive else torn,
        state=state,
        reason=printable(reason),
    )


def _read(path: Path) -> tuple[Facts, int]:
    """Return the facts of a journal, and the bytes of an incomplete last line."""
    facts, last, end, crc, line, last_line = Facts(), b"", 0, 0, 0, 0
    for line, (end, crc, text) in enumerate(sealed_lines(path), 1):  # noqa: B007 - used after the loop
        # Of the bars only the last one matters; a year of minutes would take ten seconds to parse.
        if _BAR in text[:40]:
            facts.bars, last, last_line = facts.bars + bool(last), text, line
        else:
            _add(facts, record_of(text), line)
    rest, found = unfinished(path, end, crc)
    if last:
        _add(facts, record_of(last), last_line)
    if found is not None:
        _add(facts, found[0], line + 1)
    return facts, 0 if found is not None else len(rest)


def _add(facts: Facts, record: dict[str, Any] | None, line: int) -> None:
    try:
        if record is None:
            raise Unfit("expected a JSON object")
        facts.add(record)
    except Unfit as error:
        raise Unfit(f"line {line}: {error}") from error


def judge(facts: Facts, beat: Heartbeat | None, alive: bool | None) -> tuple[str, str]:
    """Return the state and its reason."""
    if facts.stop is not None and (beat is None or (beat.session == facts.session and not beat.error)):
        return "ended", _ending(facts)
    if beat is None:
        return "stuck", "its process is not known: there is no status.json that can be read"
    if beat.session is not None and beat.session != facts.session and not alive:
        return "stuck", "its process is not known: status.json is older than the journal's last session"
    if beat.ended:
        return "failed", beat.error
    if alive is False:
        return "killed", f"process {beat.process.pid} is gone and wrote no end"
    if beat.seconds_ago() > _BEAT_SECONDS:
        return "stuck", f"no heartbeat for {beat.seconds_ago():,.0f} s from process {beat.process.pid}"
    if beat.loop_age is not None and beat.loop_age > _LOOP_SECONDS:
        return "stuck", f"the event loop has not turned for {beat.loop_age:,.0f} s"
    if facts.halt is not None:
        return "halted", facts.halt.reason
    return _judge_feed(facts, beat)


def _judge_feed(facts: Facts, beat: Heartbeat) -> tuple[str, str]:
    feed = Feed() if beat.session is None else facts.feed
    step = seconds_of(facts.timeframe)
    if feed.state == "LIVE" and beat.age is not None and step is not None:
        overdue = beat.age + beat.seconds_ago() - step
        if overdue > _NEXT_BAR_SECONDS:
            return "DELAYED", f"a bar closed {overdue:,.0f} s ago and has not arrived"
    return feed.state, feed.reason


def _ending(facts: Facts) -> str:
    number = None if facts.stop is None else facts.stop.signal
    halt = "" if facts.halt is None else f"; halted before: {facts.halt.reason}"
    return (f"signal {number}" if number else "all bars done") + halt


def seconds_of(timeframe: str) -> int | None:
    """Return the length of a bar in seconds, None if the name is unknown."""
    # Not `feeds.bars.timeframes.to_ms`: its package imports pandas, and a health check must be short.
    count, unit = timeframe[:-1], timeframe[-1:]
    return int(count) * _UNITS[unit] if count.isdecimal() and len(count) < 4 and unit in _UNITS else None
