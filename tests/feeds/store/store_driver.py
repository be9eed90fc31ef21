"""Kill writers at every point: run as `python store_driver.py FOLDER`; prints the results as one JSON line.

One process imports everything once and forks a writer for every kill point; a writer dies by SIGKILL at its n-th call
of write, fsync or replace, the points at which a crash can damage files.
"""

import json
import os
import signal
import sys
from pathlib import Path

import numpy as np

from feeds.store.keys import SeriesKey
from feeds.store.series_store import read_series, write_series

KEY = SeriesKey("bybit", "BTC/USDT:USDT", "1h")
HOUR = 3_600_000
START = 1_703_980_800_000  # a day before 2024: every write touches two files
PAGES = 3


def page(number: int) -> tuple[dict[str, np.ndarray], tuple[int, int]]:
    stamps = START + HOUR * np.arange(number * 48, number * 48 + 48, dtype=np.int64)
    prices = np.full(48, 100.0 + number)
    rows = dict.fromkeys(("open", "high", "low", "close", "volume"), prices)
    return {"timestamp": stamps, **rows}, (int(stamps[0]), int(stamps[-1]) + HOUR)


def download(folder: Path) -> None:
    """Write the missing pages one by one, as a download does."""
    with write_series(folder, KEY) as writer:
        for number in range(PAGES):
            rows, covered = page(number)
            if writer.read(*covered).covered != [covered]:
                writer.write(rows, covered)


def arm(deadly_call: int) -> None:
    """Kill this process at the n-th call that changes the disk."""
    calls = 0

    def deadly(function):
        def call(*arguments, **options):
            nonlocal calls
            calls += 1
            if calls == deadly_call:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **options)

        return call

    os.fsync = deadly(os.fsync)
    Path.replace = deadly(Path.replace)
    Path.open = deadly(Path.open)


def main(root: Path) -> None:
    for deadly_call in range(1, 40):
        folder = root / f"kill-{deadly_call}"
        child = os.fork()
        if child == 0:
            arm(deadly_call)
            download(folder)
            os._exit(0)
        killed = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        after = read_series(folder, KEY, 0, 1 << 62)
        download(folder)
        sys.stdout.write(json.dumps({"killed": killed, "rows": len(after.columns["timestamp"])}) + "\n")
        if not killed:
            return


if __name__ == "__main__":
    main(Path(sys.argv[1]))
