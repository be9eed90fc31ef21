"""Claim: in a bad week a strategy sees the bars of the history call, each once, in order; at rest a feed costs nothing.

week     10,080 one-minute bars from a loopback exchange (a process of its own) whose clock runs 1,800 times as fast as
         the machine's. Every 60th push has a fault, in turn: broken JSON, a closed connection, a candle never
         confirmed, a duplicate, NaN, a late candle, a TCP reset, no data, an unknown topic, silence. The bars of a
         Cerebro with `CCXTData` are then compared with `load_bars` into an empty store: every line, bit for bit.
memory   resident memory of the Cerebro's process (exactbars=1) after a tenth of the bars and at its highest thereafter;
         target: 8 MiB apart at most
rest     an hourly feed at the real speed with a push every five seconds and no bar due: processor time of all threads
         of the process over 30 s; target: at most 2 % of a core.

python benchmarks/live_week.py [--quick] [--bars 10080] [--speed 1800]
"""

from __future__ import annotations

import argparse
import itertools
import logging
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import backtrader as bt
import numpy as np
import psutil
from _timing import heading, verdict

from feeds import CCXTData, load_bars
from feeds.btdata import columns_of

ROOT = Path(__file__).resolve().parents[1]
SYMBOL, MINUTE = "BTC/USDT:USDT", 60_000
LINES = (
    "datetime",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "openinterest",
    "funding_rate",
    "open_interest",
)
HISTORY = 5


@contextmanager
def exchange(*words: str) -> Iterator[str]:
    command = [sys.executable, "-m", "tests.bybit", "--port", "0", *words]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield server.stdout.readline().strip()
        finally:
            server.terminate()


class Witness(bt.Strategy):
    """Keep every line of every bar in memory allocated beforehand, and the growth of the process."""

    params = (("bars", 0),)

    def __init__(self) -> None:
        self.seen = np.zeros((self.p.bars, len(LINES)))
        self.count = 0
        self.notes: Counter[str] = Counter()
        self.memory: list[int] = []
        self._process = psutil.Process()
        self.memory_every = max(1, self.p.bars // 100)

    def notify_data(self, data: Any, status: int, *args: Any) -> None:
        self.notes[data._getstatusname(status)] += 1

    def next(self) -> None:
        self.seen[self.count] = [getattr(self.data, name)[0] for name in LINES]
        self.count += 1
        if self.count % self.memory_every == 0:
            self.memory.append(self._process.memory_info().rss)
        if self.count == self.p.bars:
            self.env.runstop()


class Warned(logging.Handler):
    """Count the log warnings: closed connections and others."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.count += 1


def week(bars: int, speed: float, faults: int) -> bool:
    warned = Warned()
    logging.getLogger("feeds").addHandler(warned)
    words = ("--now", "2024-06-24T00:00:12Z", "--speed", f"{speed:g}", "--push-seconds", "20")
    with tempfile.TemporaryDirectory() as name, exchange(*words, "--faults", str(faults)) as url:
        folder = Path(name)
        cerebro = bt.Cerebro(stdstats=False)
        feed = CCXTData(
            dataname=SYMBOL, timeframe="1m", backfill=HISTORY, data_dir=folder / "live", base_url=url, speed=speed,
            progress=False,
        )  # fmt: skip
        cerebro.adddata(feed)
        cerebro.addstrategy(Witness, bars=bars)
        begin = time.perf_counter()
        witness = cerebro.run(exactbars=1)[0]
        seconds = time.perf_counter() - begin
        closes = np.round((witness.seen[:, 0] - 719_163) * 1440).astype(np.int64) * MINUTE
        history = load_bars(
            f"bybit:{SYMBOL}@1m", since=int(closes[0]) - MINUTE, until=int(closes[-1]), data_dir=folder / "history",
            base_url=url, progress=False, gaps="keep",
        )  # fmt: skip
    right = np.column_stack([columns_of(history)[line] for line in LINES])
    same = right.shape == witness.seen.shape and np.array_equal(right, witness.seen)
    once = all(b - a == MINUTE for a, b in itertools.pairwise(closes.tolist()))
    early, high = witness.memory[len(witness.memory) // 10], max(witness.memory[len(witness.memory) // 10 :])
    print(
        f"  {bars:,} bars in {seconds:.0f} s; DISCONNECTED {witness.notes['DISCONNECTED']} times, DELAYED "
        f"{witness.notes['DELAYED']}, LIVE {witness.notes['LIVE']}; {warned.count} warnings"
    )
    tenths = witness.memory[:: max(1, len(witness.memory) // 10)]
    print("  resident MiB, tenth by tenth: " + ", ".join(f"{size / 2**20:.0f}" for size in tenths))
    differing = max(len(right), bars)
    if right.shape == witness.seen.shape:
        wrong = np.argwhere(right != witness.seen)
        differing = len(np.unique(wrong[:, 0]))
        for row, column in wrong[:5]:
            print(
                f"  bar {row}, {LINES[column]}: seen {witness.seen[row, column]}, history {right[row, column]}"
            )
    verdict("bars that differ from the history call's", differing, 0, at_least=False)
    verdict("bars missing, twice or out of order", 0 if once else 1, 0, at_least=False)
    verdict("growth of resident memory (MiB)", (high - early) / 2**20, 8.0, at_least=False)
    return bool(same and once)


def rest(seconds: float) -> float:
    """Return the share of a core that a feed uses while the only input is pushes of the open candle."""
    taken: list[float] = []
    with tempfile.TemporaryDirectory() as name, exchange("--now", "2024-06-24T00:10Z", "--speed", "1") as url:
        cerebro = bt.Cerebro(stdstats=False)
        cerebro.adddata(
            CCXTData(
                dataname=SYMBOL, timeframe="1h", backfill=50, data_dir=name, base_url=url, progress=False
            )
        )
        cerebro.addstrategy(bt.Strategy)

        def measure() -> None:
            time.sleep(6)
            cpu, wall = time.process_time(), time.perf_counter()
            time.sleep(seconds)
            taken.append((time.process_time() - cpu) / (time.perf_counter() - wall))
            cerebro.runstop()

        watch = threading.Thread(target=measure)
        watch.start()
        cerebro.run()
        watch.join()
    return taken[0]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a smoke run: its figures mean little")
    parser.add_argument("--bars", type=int, default=10_080)
    parser.add_argument("--speed", type=float, default=1_800.0)
    args = parser.parse_args()
    bars, seconds, faults = (300, 5.0, 20) if args.quick else (args.bars, 30.0, 60)
    logging.getLogger("feeds").propagate = False
    heading(
        "a week of minutes",
        f"the exchange's clock {args.speed:,.0f} times as fast, a fault every {faults} pushes",
    )
    exact = week(bars, args.speed, faults)
    heading("at rest", f"one hourly feed, real speed, {seconds:g} s")
    verdict("processor time (% of a core)", 100 * rest(seconds), 2.0, at_least=False)
    if not exact:
        sys.exit(1)


if __name__ == "__main__":
    main()
