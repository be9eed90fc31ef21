"""Waits that end: in short slices, to hear a request to stop, and at a socket that is cut off."""

from __future__ import annotations

import math
import socket
import time
from collections.abc import Callable
from contextlib import suppress

__all__ = ["cut_off", "wait"]

_SLICE_SECONDS = 0.1


def wait(seconds: float, stop: Callable[[], bool], sleep: Callable[[float], None] = time.sleep) -> bool:
    """Return True after `seconds`, or False as soon as `stop()` is true; `stop` is called every 0.1 s."""
    slices = math.ceil(seconds / _SLICE_SECONDS)
    for _ in range(slices):
        if stop():
            return False
        sleep(seconds / slices)
    return not stop()


def cut_off(channel: socket.socket) -> None:
    """End a connection, so that the thread that waits for its bytes gets an error; an ended one is left alone."""
    with suppress(OSError):
        # Of TLS too: its own method is not for another thread than the one that reads.
        socket.socket.shutdown(channel, socket.SHUT_RDWR)
