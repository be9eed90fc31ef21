"""Claim: time and memory of a run grow linearly with the bars, up to a year of minutes in less than 1.5 GB.

A complete engine run (Cerebro, broker, analyzers, tables) with `ScoreStrategy` on one-minute bars. The baseline of
the same size is `BuyAndHold`: the time of Backtrader alone. Each run has its own process, so its peak memory is its
own; the sizes alternate. Time is linear if the time per bar is the same at every size.

python benchmarks/scaling.py [--quick] [--repeats 3]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from statistics import median

import torch
from _models import quick_model
from _timing import heading, verdict

from feeds import simulate
from runs.engine import run
from runs.settings import Account
from strategies import BuyAndHold, ScoreStrategy

SIZES = (65_700, 131_400, 262_800, 525_600)
QUICK = (3_000, 6_000)
STRATEGIES = {"score": ScoreStrategy, "hold": BuyAndHold}


def one(strategy: str, bars: int, model: str) -> dict[str, float]:
    """Run in this process; return its seconds, its peak memory in MB and its number of orders."""
    torch.set_num_threads(1)
    frame = simulate("planted", seed=7, bars=bars, timeframe="1m")
    params = {"model": model} if strategy == "score" else {}
    begin = time.perf_counter()
    result = run([frame], Account(), STRATEGIES[strategy], params)
    seconds = time.perf_counter() - begin
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes there, in KB elsewhere
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
    return {"seconds": seconds, "peak": peak, "orders": len(result.orders)}


def apart(strategy: str, bars: int, model: Path) -> dict[str, float]:
    """Run `one` in a new process."""
    command = [sys.executable, __file__, "--one", strategy, str(bars), str(model)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a smoke run: its figures mean little")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--one", nargs=3, metavar=("STRATEGY", "BARS", "MODEL"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(one(args.one[0], int(args.one[1]), args.one[2])))
        return
    sizes, repeats = (QUICK, 1) if args.quick else (SIZES, args.repeats)
    found = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        model = quick_model(timeframe="1m").save(Path(folder) / "model")
        for _ in range(repeats):
            for bars in sizes:
                for strategy in STRATEGIES:
                    found[strategy, bars].append(apart(strategy, bars, model))
    figures = {
        key: {name: median(row[name] for row in rows) for name in ("seconds", "peak", "orders")}
        for key, rows in found.items()
    }
    heading("whole engine run on one-minute bars", f"median of {repeats} runs, each in its own process")
    print(
        f"{'bars':>9}{'score':>10}{'us/bar':>9}{'peak':>10}{'orders':>9}   {'hold':>8}{'us/bar':>9}{'peak':>10}"
    )
    for bars in sizes:
        own, hold = figures["score", bars], figures["hold", bars]
        print(
            f"{bars:>9,}{own['seconds']:>8.2f} s{1e6 * own['seconds'] / bars:>9.1f}{own['peak']:>7.0f} MB"
            f"{own['orders']:>9,.0f}   "
            f"{hold['seconds']:>6.2f} s{1e6 * hold['seconds'] / bars:>9.1f}{hold['peak']:>7.0f} MB"
        )
    small, large = figures["score", sizes[0]], figures["score", sizes[-1]]
    print()
    growth = (large["seconds"] / sizes[-1]) / (small["seconds"] / sizes[0])
    verdict(f"time a bar, {sizes[-1]:,} bars beside {sizes[0]:,}", growth, 1.25, at_least=False)
    steps = [
        (figures["score", b]["peak"] - figures["score", a]["peak"]) / (b - a) * 2**10
        for a, b in pairwise(sizes)
    ]
    print(f"{'memory a further bar, KB (each doubling)':<52}" + "".join(f"{step:9.2f}" for step in steps))
    verdict(f"peak memory at {sizes[-1]:,} bars, GB", large["peak"] / 2**10, 1.5, at_least=False)


if __name__ == "__main__":
    main()
