"""Which process writes a run, and whether it is still there."""

from __future__ import annotations

import os
import socket
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Process", "boot", "is_alive", "monotonic_ms"]

_PROC = Path("/proc")


@dataclass(frozen=True)
class Process:
    """A process on one machine or in one container.

    Attributes:
        pid: its id, which the system gives to another process later.
        started: when the system started it, as the system tells; "" if it does not.
        place: where `pid` means this process: boot and process namespace of Linux, elsewhere the host's name.
    """

    pid: int
    started: str
    place: str

    @classmethod
    def own(cls) -> Process:
        """Return this process."""
        return cls(os.getpid(), _started(os.getpid()), _place())


def is_alive(process: Process) -> bool | None:
    """Return whether a process still runs; None if it belongs to another machine or container, or to Windows."""
    # On Windows, os.kill would end the process.
    if sys.platform == "win32" or process.place != _place() or not 0 < process.pid < 2**31:
        return None
    try:
        os.kill(process.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it belongs to another user
    return _started(process.pid) == process.started and not _is_zombie(process.pid)


def boot() -> str:
    """Return what identifies the machine's last boot: within it, monotonic clocks of processes agree. "" if unknown."""
    with suppress(OSError):
        return (_PROC / "sys/kernel/random/boot_id").read_text("ascii", "replace").strip()
    return ""


def monotonic_ms() -> int:
    """Return the machine's monotonic time in ms."""
    return time.monotonic_ns() // 1_000_000


def _place() -> str:
    with suppress(OSError):
        return f"{boot()} {(_PROC / 'self/ns/pid').readlink()}"
    return socket.gethostname()


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat after the name of the program, from the third on."""
    with suppress(OSError):
        return (_PROC / str(pid) / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    return []


def _started(pid: int) -> str:
    found = _stat(pid)
    return found[19] if len(found) > 19 else ""


def _is_zombie(pid: int) -> bool:
    return _stat(pid)[:1] in (["Z"], ["X"])
