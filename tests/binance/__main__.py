"""Serve the loopback Binance until Ctrl-C: python -m tests.binance [PORT] (8898)."""

from __future__ import annotations

import signal
import sys
import threading

from tests.binance.server import LoopbackBinance


def main() -> None:
    """Serve until SIGINT or SIGTERM."""
    done = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: done.set())
    with LoopbackBinance(port=int(sys.argv[1]) if len(sys.argv) > 1 else 8898, weights=2400) as exchange:
        sys.stdout.write(f"{exchange.url}\n")
        sys.stdout.flush()
        done.wait()


if __name__ == "__main__":
    main()
