"""The trading process of a soak, seen from outside: started, suspended, killed, and followed through its journal."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from runs.live.journal import JOURNAL
from runs.watch.status import read_status
from tests.soak.trader import EXCHANGE_FAILED

__all__ = ["Tail", "Trader", "unsettled"]

ROOT = Path(__file__).parents[2]
_BAR = re.compile(rb'"kind":"bar","time":(\d+)')
_LOOK_AGAIN = 0.01  # seconds


def unsettled(journal: Path) -> set[str]:
    """Return the ids of orders whose outcome a journal, which another process writes, does not hold yet."""
    return set(read_status(journal.parent).facts.ledger.unknown)


class Tail:
    """The close of the newest bar in a journal that another process writes."""

    def __init__(self, path: Path) -> None:
        self._path, self._read, self.close = path, 0, 0

    def look(self) -> int:
        """Return the newest close, UTC ms; 0 before the first."""
        if self._size() > self._read:
            with self._path.open("rb") as file:
                file.seek(self._read)
                added = file.read()
            whole = added[: added.rfind(b"\n") + 1]
            self._read += len(whole)
            self.close = max([self.close, *(int(found) for found in _BAR.findall(whole))])
        return self.close

    def _size(self) -> int:
        try:
            return os.stat(self._path).st_size  # noqa: PTH116 - called a hundred times a second
        except FileNotFoundError:
            return 0

    def reaches(self, close: int, seconds: float) -> bool:
        """Wait at most `seconds` until the journal has a bar that closes at `close` or later."""
        until = time.monotonic() + seconds
        while self.look() < close:
            if time.monotonic() > until:
                return False
            time.sleep(_LOOK_AGAIN)
        return True


class Trader:
    """The trading process, started again after each kill; its resident memory is sampled."""

    def __init__(self, command: Sequence[str], log: Path, run: Path) -> None:
        self._command, self._log, self._tail = command, log, Tail(run / JOURNAL)
        self.starts = self.failed_starts = 0
        self._begun_at = 0
        self.memory: list[list[int]] = []
        self._process: subprocess.Popen[bytes] | None = None

    def ensure(self) -> None:
        """Start the process if it is not running.

        A start may fail, if the exchange does not answer: then it is tried again. A process that ends by itself after
        its first bar is a broken promise.
        """
        if self._process is not None and self._process.poll() is None:
            self.memory[-1].append(psutil.Process(self._process.pid).memory_info().rss)
            return
        if self._process is not None and self._process.returncode != -signal.SIGKILL:
            code = self._process.returncode
            if code != EXCHANGE_FAILED or self._tail.look() > self._begun_at:
                raise SystemExit(f"the trader ended with {code}; see {self._log}")
            self.failed_starts += 1
        self._begun_at = self._tail.look()
        self.starts += 1
        self.memory.append([])
        seed = str(self.starts)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._command, "--seed", seed],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
                stdout=log,
                stderr=log,
            )

    def follow(self, close: int, seconds: float) -> bool:
        """Wait at most `seconds` until the journal has a bar that closes at `close` or later."""
        return self._tail.reaches(close, seconds)

    def send(self, number: int) -> None:
        """Send a signal."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def suspend(self, seconds: float) -> None:
        """Stop the process for a while, as a machine that sleeps."""
        self.send(signal.SIGSTOP)
        time.sleep(seconds)
        self.send(signal.SIGCONT)

    def kill(self) -> None:
        """Kill the process, wherever it is."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def end(self) -> int:
        """Ask the process to stop, and return its exit status."""
        if self._process is None:
            raise RuntimeError("the trader was never started")
        self.send(signal.SIGTERM)
        return self._process.wait(timeout=300)
