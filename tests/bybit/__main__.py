"""Serve the loopback exchange until Ctrl-C: REST and the public websocket of Bybit v5, without the internet.

The market is a pure function of symbol and time, so every server serves the same history: BTC/USDT:USDT,
ETH/USDT:USDT, SOL/USDT:USDT and a few others since 2022. Commands reach it by --base-url, the websocket is at
ws://127.0.0.1:PORT/v5/public/{linear,inverse,spot}:

  python -m tests.bybit --port 8899 &
  scorenet fetch BTC/USDT:USDT --since 2024-01-01 --until 2024-02-01 --base-url http://127.0.0.1:8899

A clock sixty times as fast closes a one-minute candle every second; a client's clock has to run as fast (`speed=60`):

  python -m tests.bybit --port 8899 --now 2024-06-30T12:00Z --speed 60 &
  python examples/live.py http://127.0.0.1:8899 60
"""

from __future__ import annotations

import argparse
import datetime as dt
import signal
import sys
import threading

from tests.bybit import faults
from tests.bybit.server import LoopbackBybit

__all__ = ["main"]

_UNKINDNESS = (
    faults.POISON,
    faults.Drop(),
    faults.NEVER,
    faults.DUPLICATE,
    faults.NAN_FRAME,
    faults.Late(90_000),
    faults.Reset(),
    faults.NULL_DATA,
    faults.UNKNOWN_TOPIC,
    faults.Silence(),
)


def _milliseconds(text: str) -> int:
    stamp = dt.datetime.fromisoformat(text)
    if stamp.tzinfo is None:
        stamp = stamp.replace(tzinfo=dt.UTC)
    return int(stamp.timestamp() * 1000)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bybit",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--port", type=int, default=8899, help="0 takes a free one (default: 8899)")
    parser.add_argument(
        "--now",
        type=_milliseconds,
        metavar="TIME",
        help="the exchange's time at the start, ISO 8601, UTC; it stands still there unless there is a --speed "
        "(default: the machine's time)",
    )
    parser.add_argument(
        "--speed",
        type=float,
        default=0.0,
        help="run this many times as fast as the machine's clock, from --now",
    )
    parser.add_argument(
        "--push-seconds", type=float, default=5.0, help="exchange seconds between pushes of an open candle"
    )
    parser.add_argument(
        "--faults",
        type=int,
        metavar="N",
        help="let every N-th push go wrong on the websocket: in turn broken JSON, a closed connection, a candle never "
        "confirmed, a duplicate, NaN, a late candle, a TCP reset, no data, an unknown topic, silence",
    )
    return parser


def main() -> None:
    """Parse the command line and serve until SIGINT or SIGTERM."""
    options = _parser().parse_args()
    done = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: done.set())
    start = options.now
    if options.speed and start is None:
        start = int(dt.datetime.now(dt.UTC).timestamp() * 1000)
    with LoopbackBybit(
        clock=start, speed=options.speed, push_ms=int(options.push_seconds * 1000), port=options.port
    ) as exchange:
        if options.faults:
            for number in range(1, 1_001):
                fault = _UNKINDNESS[number % len(_UNKINDNESS)]
                # Pushes used by other faults do not count for faults queued behind them.
                exchange.inject(fault, on="ws:push", skip=number * (options.faults - 1))
        sys.stdout.write(f"{exchange.url}\n")
        sys.stdout.flush()
        done.wait()


if __name__ == "__main__":
    main()
