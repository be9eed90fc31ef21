"""Waits that end: in short slices, to hear a request to stop, and at a socket that is cut off; a signal is heard."""

from __future__ import annotations

import math
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

__all__ = ["Heard", "cut_off", "wait"]

_SLICE_SECONDS = 0.1


def wait(seconds: float, stop: Callable[[], bool], sleep: Callable[[float], None] = time.sleep) -> bool:
    """Return True after `seconds`, or False as soon as `stop()` is true; `stop` is called every 0.1 s."""
    slices = math.ceil(seconds / _SLICE_SECONDS)
    for _ in range(slices):
        if stop():
            return False
        sleep(seconds / slices)
    return not stop()


class Heard:
    """Listen to a signal by its name, such as "SIGUSR1"; a system that does not have it hears nothing.

    Attributes:
        yes: whether the signal has come inside a `listening` block; who has handled it sets it back.
    """

    def __init__(self, name: str) -> None:
        self._number: int | None = getattr(signal, name, None)
        self.yes = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Hear the signal inside the block, in place of its default action; blocks may be nested."""
        if self._number is None:
            yield
            return
        before = signal.signal(self._number, self._note)
        try:
            yield
        finally:
            signal.signal(self._number, before)

    def _note(self, _number: int, _frame: object) -> None:
        self.yes = True


def cut_off(channel: socket.socket) -> None:
    """End a connection, so that the thread that waits for its bytes gets an error; an ended one is left alone."""
    with suppress(OSError):
        # Of TLS too: its own method is not for another thread than the one that reads.
        socket.socket.shutdown(channel, socket.SHUT_RDWR)
