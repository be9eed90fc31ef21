"""What stops a live run: Ctrl-C and SIGTERM end it cleanly, the kill switch halts its trading for good."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["KILL_FILE", "KillSwitch", "StopRequest"]

KILL_FILE = "KILL"
_STOPPING = b"\nscorenet: stopping; Ctrl-C again stops at once\n"


class StopRequest:
    """Turn SIGINT and SIGTERM into a wish to stop; a second SIGINT interrupts at once.

    Attributes:
        signal: number of the signal that came, None so far.
    """

    def __init__(self) -> None:
        self.signal: int | None = None

    def _note(self, number: int, _frame: object) -> None:
        if self.signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        if self.signal is None:
            # Past Python's streams, which this may have interrupted in the middle of a write.
            with contextlib.suppress(OSError, ValueError):
                os.write(sys.stderr.fileno(), _STOPPING)
        self.signal = number

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take the signals for the length of the block."""
        before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class KillSwitch:
    """Halt trading when a file named KILL appears in the run folder, on SIGUSR1, or when too much is lost.

    `max_loss` is the fraction of `cash` whose loss halts (0: never), `flatten` whether positions are closed as
    well. Once on it stays on, over restarts too.

    Attributes:
        reason: why it is on, empty while it is off.
    """

    def __init__(self, folder: Path, *, cash: float, max_loss: float = 0.0, flatten: bool = False) -> None:
        self.reason = ""
        self.flatten = flatten
        self._file = folder / KILL_FILE
        self._floor = cash * (1.0 - max_loss) if max_loss else float("-inf")
        self._signalled = self._told = False

    @property
    def on(self) -> bool:
        """Say whether trading is halted."""
        return bool(self.reason)

    def restore(self, record: Mapping[str, Any]) -> None:
        """Switch on as a journal says; to flatten can still be asked for later."""
        self.reason, self.flatten = str(record["reason"]), self.flatten or bool(record["flatten"])
        self._told = True

    def trip(self, reason: str) -> None:
        """Switch on, unless it is on already; the next `poll` tells."""
        self.reason = self.reason or reason

    def poll(self, equity: float | None = None) -> bool:
        """Look for a reason to halt; return whether it is on and nobody was told yet."""
        if self._signalled:
            self.trip("SIGUSR1")
        elif self._file.exists():
            self.trip(f"file {self._file.name}")
        elif equity is not None and equity <= self._floor:
            self.trip(f"equity {equity:,.2f} at or below {self._floor:,.2f}")
        news = self.on and not self._told
        self._told = self._told or news
        return news

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take SIGUSR1, where the system has it, for the length of the block."""
        if sys.platform == "win32":
            yield
            return
        before = signal.signal(signal.SIGUSR1, self._note)
        try:
            yield
        finally:
            signal.signal(signal.SIGUSR1, before)

    def _note(self, _number: int, _frame: object) -> None:
        self._signalled = True
