"""The heartbeat of a live run, `status.json` in its folder: what the journal does not tell about its process."""

from __future__ import annotations

import json
import os
import secrets
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scorenet.base.files import read_regular
from scorenet.base.times import wall_ms

from . import fields
from .process import Process, boot, monotonic_ms

__all__ = ["HEARTBEAT", "Heartbeat", "read_heartbeat", "write_heartbeat"]

HEARTBEAT = "status.json"
_MOST_BYTES = 64 << 10


@dataclass(frozen=True, kw_only=True)
class Heartbeat:
    """What a run says about itself, every few seconds.

    Attributes:
        process: the process that writes it.
        at: the machine's UTC ms. monotonic: the machine's monotonic ms since its boot `boot`.
        session: number `n` of the session's record, None before it is written.
        loop_age: seconds since the last turn of the event loop, None before the first.
        age: seconds on the exchange's clock since the close of the last bar, None if unknown.
        lag: the same from the close of the last bar to its decision.
        ended: whether the run has ended; error: with which error, "" if with none.
    """

    process: Process
    at: int
    monotonic: int
    boot: str
    session: int | None = None
    loop_age: float | None = None
    age: float | None = None
    lag: float | None = None
    ended: bool = False
    error: str = ""

    @classmethod
    def now(cls, process: Process, **more: Any) -> Heartbeat:
        """Return a heartbeat with the current times."""
        at = wall_ms()
        return cls(process=process, at=at, monotonic=monotonic_ms(), boot=boot(), **more)

    def seconds_ago(self) -> float:
        """Return its age in seconds: by the monotonic clock since the same boot, otherwise by the wall clock."""
        if self.boot and self.boot == boot():
            return max(monotonic_ms() - self.monotonic, 0) / 1000.0
        return max(wall_ms() - self.at, 0) / 1000.0


def write_heartbeat(folder: Path, beat: Heartbeat) -> None:
    """Replace the heartbeat of a folder; only the owner can read it.

    It is not flushed to disk: after a power failure it may be missing or empty, and then counts as none.

    Raises:
        OSError: the folder cannot be written.
    """
    target = folder / HEARTBEAT
    temporary = folder / f".{HEARTBEAT}.{secrets.token_hex(4)}.tmp"
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as file:
            json.dump(asdict(beat), file, allow_nan=False)
        temporary.replace(target)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def read_heartbeat(folder: Path) -> Heartbeat | None:
    """Return the heartbeat of a folder; None if there is none that can be understood."""
    try:
        content = json.loads(read_regular(folder / HEARTBEAT, _MOST_BYTES))
        return _parse(content) if isinstance(content, dict) else None
    except (OSError, ValueError, RecursionError):
        return None


def _parse(content: dict[str, Any]) -> Heartbeat:
    process = fields.mapping(content, "process")
    session = content.get("session")
    return Heartbeat(
        process=Process(
            fields.whole(process, "pid"), fields.text(process, "started"), fields.text(process, "place")
        ),
        at=fields.instant(content, "at"),
        monotonic=fields.whole(content, "monotonic"),
        boot=fields.text(content, "boot"),
        session=None if session is None else fields.whole(content, "session"),
        loop_age=fields.number(content, "loop_age"),
        age=fields.number(content, "age"),
        lag=fields.number(content, "lag"),
        ended=content.get("ended") is True,
        error=fields.text(content, "error", ""),
    )
