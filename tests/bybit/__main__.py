"""Serve the loopback exchange until Ctrl-C: `python -m tests.bybit --port 8899 [--now 2024-06-30T12:34Z]`."""

from __future__ import annotations

import argparse
import datetime as dt
import signal
import sys
import threading

from tests.bybit.server import LoopbackBybit

__all__ = ["main"]


def _milliseconds(text: str) -> int:
    stamp = dt.datetime.fromisoformat(text)
    if stamp.tzinfo is None:
        stamp = stamp.replace(tzinfo=dt.UTC)
    return int(stamp.timestamp() * 1000)


def main() -> None:
    """Parse the command line and serve until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m tests.bybit", description=__doc__)
    parser.add_argument("--port", type=int, default=8899, help="0 takes a free one")
    parser.add_argument("--now", type=_milliseconds, default=None, help="freeze the clock (ISO 8601, UTC)")
    options = parser.parse_args()
    done = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: done.set())
    with LoopbackBybit(clock=options.now, port=options.port) as exchange:
        sys.stdout.write(f"{exchange.url}\n")
        sys.stdout.flush()
        done.wait()


if __name__ == "__main__":
    main()
