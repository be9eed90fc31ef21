"""Wall time of `scorenet walkforward` with one and two workers, and again with other thresholds.

BTC, ETH, SOL and BNB, 2021-01 to 2025-06, one pooled model, refitted each half-year. Three runs of the command itself:
one worker, two workers with a store of their own, and a second run on the models of the latter. Targets: the second run
takes less than a tenth of the first; two workers give the figures of one. The table of the run is printed too.

    python benchmarks/walk_forward_time.py [--since 2021-01-01] [--until 2025-07-01] [--keep FOLDER]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _bybit import add_data_option
from _timing import verdict

from runs.folder.jsonfile import parse_json

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "BNBUSDT")
SAME = ("total_return", "sharpe_ratio", "max_drawdown", "n_orders")


def walk(options: argparse.Namespace, folder: Path, store: Path, *more: str) -> tuple[float, str]:
    """Run the command; return its wall time in seconds and what it printed."""
    words = [
        "--train",
        "730",
        "--test",
        "182",
        "--expanding",
        "--since",
        options.since,
        "--until",
        options.until,
    ]
    for symbol in SYMBOLS:
        words += ["--bars", str(options.data / f"{symbol}_1h.parquet")]
    words += ["--data-dir", str(store), "--out", str(folder), *more]
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "scorenet", "walkforward", *words], stdout=subprocess.PIPE, text=True
    )
    if done.returncode:
        sys.exit(done.returncode)
    return time.perf_counter() - begin, done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_data_option(parser)
    parser.add_argument("--since", default="2021-01-01")
    parser.add_argument("--until", default="2025-07-01")
    parser.add_argument("--keep", type=Path, help="folder of the runs; a temporary one without it")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        base = options.keep or Path(temporary)
        one, said = walk(options, base / "one", base / "store_1")
        print(f"one worker {one:,.0f} s\n{said}", flush=True)
        workers = ("--executor", "process", "--workers", "2")
        two, _ = walk(options, base / "two", base / "store_2", *workers)
        print(f"two workers {two:,.0f} s", flush=True)
        again, _ = walk(options, base / "again", base / "store_2", *workers, "--set", "rebalance_band=0.2")
        print(f"again with another rebalance_band {again:,.0f} s")
        figures = [parse_json((base / name / "metrics.json").read_text()) for name in ("one", "two")]
        same = all(figures[0][key] == figures[1][key] for key in SAME)
        print(f"the figures of one and of two workers are {'equal' if same else 'DIFFERENT'}")
        verdict("wall time, one worker over two", one / two, 1.0, at_least=True)
        verdict("second run (no training) over the first", again / two, 0.1, at_least=False)


if __name__ == "__main__":
    main()
