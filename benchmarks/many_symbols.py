"""Claim: time and memory of one pooled model over many symbols in one account are linear in the number of symbols.

One Cerebro account, one small model, simulated hourly symbols: a third of them is listed on the way, another third is
delisted. Each size runs in a process of its own. Printed are the seconds of `cerebro.run` (model loaded, nothing
evaluated yet), the peak memory, and the cost per symbol of the largest size over that of the smallest; target: at most
1.2. Memory is counted above that of the loaded program. Processor seconds are the fairer ones on a shared machine.

python benchmarks/many_symbols.py [--bars 8760] [--sizes 125 250 500] [--set allocation=covariance] [--quick]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd
from _models import quick_model
from _timing import heading, verdict

from feeds import simulate
from runs.backtest import strategy_defaults
from runs.engine import build
from runs.settings import Account, run_settings
from scorenet import ScoreModel
from scorenet.score.training import threads
from strategies import ScoreStrategy

CASH = 1e7  # a part of 1/500 is then large against the smallest order
RULES = {"rebalance_band": 0.25, "cooldown": 24}


def markets(symbols: int, bars: int) -> list[pd.DataFrame]:
    """Return hourly bars of all symbols: of three, one exists throughout, one is listed late, one is delisted."""
    frames = []
    for number in range(symbols):
        frame = simulate("planted", seed=1_000 + number, bars=bars, symbol=f"S{number:03d}")
        # Spread over the same span for any number of symbols: the sizes then have the same bars per symbol.
        edge = bars // 10 + number * (bars // 2) // symbols
        part = {0: slice(None), 1: slice(edge, None), 2: slice(None, bars - edge)}[number % 3]
        short = frame.iloc[part].reset_index(drop=True)
        short.attrs = dict(frame.attrs)
        frames.append(short)
    return frames


def one_size(folder: str, symbols: int, bars: int, params: dict[str, Any]) -> dict[str, float]:
    """Run one size in this process."""
    model = ScoreModel.load(folder)
    before = resident_mb()
    cerebro = build(
        markets(symbols, bars), Account(cash=CASH), ScoreStrategy, {**RULES, **params, "model": model}
    )
    wall, cpu = time.perf_counter(), time.process_time()
    with threads(1):
        finished = cerebro.run()[0]
    return {
        "wall": time.perf_counter() - wall,
        "cpu": time.process_time() - cpu,
        "memory": max(peak_mb() - before, 1.0),
        "rows": len(finished.decisions),
        "orders": len(finished.analyzers.orders.get_analysis()["size"]),
        "gross": float(finished.analyzers.equity.get_analysis()["gross"].max()),
    }


def peak_mb() -> float:
    kilo = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * kilo / 2**20


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * resource.getpagesize() / 2**20


def in_own_process(*arguments: object) -> dict[str, float]:
    command = [sys.executable, __file__, "--one", *map(str, arguments)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=dict(os.environ))
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bars", type=int, default=8_760)
    parser.add_argument("--sizes", type=int, nargs="+", default=[125, 250, 500])
    parser.add_argument("--set", action="append", default=[], help="a setting of the strategy")
    parser.add_argument("--quick", action="store_true", help="a smoke run: its figures mean little")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args()
    _, params = run_settings(None, args.set, strategy_defaults())
    if args.one:
        print(json.dumps(one_size(args.one, args.sizes[0], args.bars, params)))
        return
    sizes, bars = ([5, 10, 20], 300) if args.quick else (args.sizes, args.bars)
    heading(f"one account, {bars:,} hourly bars", " ".join(args.set) or "default settings")
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        saved = quick_model("chapter").save(Path(folder) / "model")
        for size in sizes:
            settings = [part for text in args.set for part in ("--set", text)]
            got = found[size] = in_own_process(saved, "--bars", bars, "--sizes", size, *settings)
            print(
                f"  {size:4d} symbols {got['wall']:8.1f} s wall {got['cpu']:8.1f} s processor"
                f" {1e6 * got['cpu'] / got['rows']:7.1f} us a decision {got['memory']:8.0f} MB"
                f" {got['rows']:10,.0f} decisions {got['orders']:8,.0f} orders, gross at most {got['gross']:.2f}",
                flush=True,
            )
    small, large = sizes[0], sizes[-1]
    for name, label in (("cpu", "processor time"), ("wall", "wall time"), ("memory", "peak memory")):
        ratio = (found[large][name] / large) / (found[small][name] / small)
        verdict(f"{label} per symbol, {large} over {small} symbols", ratio, 1.2, at_least=False)


if __name__ == "__main__":
    main()
