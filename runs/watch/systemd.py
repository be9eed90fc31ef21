"""Tell systemd that a run is ready and well, if systemd has started it (`Type=notify`, `WatchdogSec=`)."""

from __future__ import annotations

import os
import socket
from contextlib import suppress

__all__ = ["tell_systemd"]

_VARIABLE = "NOTIFY_SOCKET"


def tell_systemd(*states: str) -> None:
    """Send states such as "READY=1" to systemd's socket; do nothing without one. It never waits."""
    address = os.environ.get(_VARIABLE, "")
    if not address.startswith(("/", "@")) or not hasattr(socket, "AF_UNIX"):
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.setblocking(False)
        channel.sendto("\n".join(states).encode("utf-8", "replace"), address)
