"""Time to import the packages and to start the command, in new processes, compared with a bare interpreter.

    python benchmarks/import_times.py

Each line is the median of ten new processes; the lines alternate. "everything" imports every exported name: the
time of the import if names were not loaded on first use.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ALL = "import {0}; [getattr({0}, name) for name in {0}.__all__]"
COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "import scorenet": ["-c", "import scorenet"],
    "import feeds": ["-c", "import feeds"],
    "import strategies": ["-c", "import strategies"],
    "scorenet --help": ["-m", "scorenet", "--help"],
    "scorenet data list": ["-m", "scorenet", "data", "list"],
    "feeds, everything": ["-c", ALL.format("feeds")],
    "scorenet, everything": ["-c", ALL.format("scorenet")],
}


def seconds(words: list[str], folder: str) -> float:
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env={"PYTHONPATH": str(ROOT)}, capture_output=True, check=False
    )
    took = time.perf_counter() - begin
    if done.returncode:
        sys.exit(done.stderr.decode())
    return took


def main() -> None:
    found: dict[str, list[float]] = {name: [] for name in COMMANDS}
    with tempfile.TemporaryDirectory() as folder:
        for words in COMMANDS.values():
            seconds(words, folder)
        for _ in range(10):
            for name, words in COMMANDS.items():
                found[name].append(seconds(words, folder))
    for name, times in found.items():
        print(f"{name:24s} {statistics.median(times):6.2f} s")


if __name__ == "__main__":
    main()
