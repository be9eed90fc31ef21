"""What ends a live run: its user (SIGINT, SIGTERM), or a fault of one table. The kill switch ends its trading only.

SIGHUP ends nothing, as under nohup: if a terminal closes or a connection drops, positions must not stay unattended.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from feeds.live.endings import FATAL as FATAL_FOR_FEEDS
from feeds.live.endings import PROGRAM_ERROR
from scorenet import ConfigError, ScorenetError
from scorenet.base.times import wall_ms
from scorenet.base.waits import Heard

from ..folder.rundir import RunDirError
from .journal import Journal

__all__ = ["FATAL", "KILL_FILE", "KillSwitch", "StopRequest", "keeping_halt", "saying_why"]

FATAL: Mapping[type[Exception], str] = {
    **FATAL_FOR_FEEDS,
    RunDirError: "the journal or the run folder cannot be used",
    ScorenetError: "the model or its settings cannot be used",
}
"""The errors that end a live run, and why; any other error that reaches it is one of the program."""

KILL_FILE = "KILL"
_STOPPING = b"\nscorenet: stopping; Ctrl-C again stops at once\n"


@contextmanager
def saying_why(say: Callable[[str], None]) -> Iterator[None]:
    """Say why an error ends the run: a reason of the table, or an error of the program."""
    try:
        yield
    except Exception as error:  # it is raised again
        why = next((why for kind, why in FATAL.items() if isinstance(error, kind)), PROGRAM_ERROR)
        say(f"the run ends: {why}; positions stay as they are")
        raise


class StopRequest:
    """Record SIGINT and SIGTERM, so that the run can stop cleanly. A second SIGINT interrupts at once.

    Attributes:
        signal: number of the received signal, None before.
        hangup: whether SIGHUP was received; the run goes on.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self.hangup = False

    def _note_hangup(self, _number: int, _frame: object) -> None:
        self.hangup = True

    def _note(self, number: int, _frame: object) -> None:
        if self.signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        if self.signal is None:
            # os.write, not print: the signal may have interrupted a write to Python's stream.
            with contextlib.suppress(OSError, ValueError):
                os.write(sys.stderr.fileno(), _STOPPING)
        self.signal = number

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Handle the signals inside the block."""
        handlers: dict[int, Any] = dict.fromkeys((signal.SIGINT, signal.SIGTERM), self._note)
        # Under nohup it is ignored already, and stays so.
        if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            handlers[signal.SIGHUP] = self._note_hangup
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class KillSwitch:
    """Halt trading on a file named KILL in the run folder, on SIGUSR1, or when equity falls to a limit.

    The limit is `cash` times 1 - `max_loss`; 0 means no limit. `flatten` also closes positions. The switch cannot
    be turned off, and restarts keep it on. With `stop`, a stop request ends waits too. `asked`: SIGUSR1, if the caller
    listens to it already; it is set back once the journal has the halt.

    Raises:
        ConfigError: `max_loss` is no fraction.

    Attributes:
        reason: why the switch is on, empty while it is off.
    """

    def __init__(
        self,
        folder: Path,
        *,
        cash: float,
        max_loss: float = 0.0,
        flatten: bool = False,
        stop: StopRequest | None = None,
        asked: Heard | None = None,
    ) -> None:
        if not 0.0 <= max_loss < 1.0:  # with NaN no comparison would ever halt
            raise ConfigError(f"--max-loss: expected a fraction from 0 to below 1, found {max_loss}")
        self.reason = ""
        self._stop = stop
        self.flatten = flatten
        self._file = folder / KILL_FILE
        self._floor = cash * (1.0 - max_loss) if max_loss else float("-inf")
        self._asked = asked or Heard("SIGUSR1")
        self._reported = False

    @property
    def on(self) -> bool:
        """Whether trading is halted."""
        return bool(self.reason)

    @property
    def calls(self) -> bool:
        """Whether a wait must end now: the run is asked to stop, or there is a reason to halt that is not handled."""
        if self._stop is not None and self._stop.signal is not None:
            return True
        return not self._reported and (self.on or self._asked.yes or self._file.exists())

    def restore(self, record: Mapping[str, Any]) -> None:
        """Turn on as a journal recorded it. A later session can still ask for `flatten`."""
        self.reason, self.flatten = str(record["reason"]), self.flatten or bool(record["flatten"])
        self._reported = True

    @contextmanager
    def remembered(self, journal: Journal, say: Callable[[str], None]) -> Iterator[None]:
        """Inside the block, listen, with the state that the journal has; at its end, record what nobody has polled.

        So a halt is never forgotten, also if it is asked for while the run ends or fails.
        """
        for record in journal.records("halt"):
            self.restore(record)
        try:
            with self._asked.listening():
                yield
        finally:
            if self.poll():
                # The error that ends the run is the one to report.
                with contextlib.suppress(RunDirError):
                    self.record(journal, say)

    def record(self, journal: Journal, say: Callable[[str], None]) -> None:
        """Write to the journal that the switch is on."""
        journal.append("halt", at=wall_ms(), reason=self.reason, flatten=self.flatten)
        self._asked.yes = False
        say(f"halted: {self.reason}; no more trades in this run folder")

    def trip(self, reason: str) -> None:
        """Turn on, unless it is on already. The next `poll` reports it."""
        self.reason = self.reason or reason

    def poll(self, equity: float | None = None) -> bool:
        """Check for a reason to halt, given the equity; return True at the first poll after the switch turned on."""
        if self._asked.yes:
            self.trip("SIGUSR1")
        elif self._file.exists():
            self.trip(f"file {self._file.name}")
        elif equity is not None and equity <= self._floor:
            self.trip(f"equity {equity:,.2f} at or below {self._floor:,.2f}")
        news = self.on and not self._reported
        self._reported = self._reported or news
        return news


@contextmanager
def keeping_halt(asked: Heard, out: str | None, say: Callable[[str], None]) -> Iterator[None]:
    """Leave a file KILL in `out` for the next start, if the block ends with a SIGUSR1 that no journal has recorded.

    So it is if the journal could not be opened or written. None: the folder is not known.
    """
    try:
        yield
    finally:
        if asked.yes and out is not None:
            _leave_kill_file(Path(out), say)
            asked.yes = False
        elif asked.yes:
            say(f"SIGUSR1 is NOT recorded, the run folder is not known yet; make a file {KILL_FILE} in it")


def _leave_kill_file(folder: Path, say: Callable[[str], None]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / KILL_FILE).touch()
    except OSError as error:
        say(f"SIGUSR1 is NOT recorded, {folder / KILL_FILE} cannot be written: {error.strerror or error}")
    else:
        say(f"SIGUSR1 came while the journal could not be written: {folder / KILL_FILE} halts the next start")
