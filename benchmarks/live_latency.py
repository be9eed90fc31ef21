"""Claim: a live bar is decided within a millisecond on one thread, 99 times of 100.

decision   from the delivery of the bar by the feed to the sending of the orders: a real Cerebro on the live path
           (`ReplayData`, bar by bar), with broker, features, nets, rules and record; target: p99 <= 1 ms.
evaluate   the model alone: `ScoreModel.evaluate` on the last lookback + 1 bars.
chapter    features and signal of the chapter on one bar: 121 forward passes and ten pandas columns.

Rounds alternate; each percentile is the median over the rounds, so that a single disturbance does not decide.

python benchmarks/live_latency.py [--quick] [--rounds 5]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable
from typing import Any

import chapter
import numpy as np
import pandas as pd
import torch
from _models import quick_model
from _timing import heading, microseconds, verdict

from feeds import ReplayData, simulate, to_arrays
from runs.engine import Modes, build
from runs.settings import Account
from scorenet import ScoreModel
from strategies import ScoreStrategy

PERCENTILES = (50, 90, 99)


class StampedData(ReplayData):
    """Record when a bar was delivered."""

    delivered = 0.0

    def _load(self) -> bool:
        loaded = super()._load()
        self.delivered = time.perf_counter()
        return loaded


class StampedStrategy(ScoreStrategy):
    """Record the time from the delivery of each bar to its decision."""

    def start(self) -> None:
        super().start()
        self.taken: list[float] = []

    def next(self) -> None:
        super().next()
        self.taken.append(time.perf_counter() - self.data.delivered)


def decisions(model: ScoreModel, frame: pd.DataFrame, signal: str) -> list[float]:
    """Return the seconds of each decided bar of a live run."""
    params = {"model": model, "signal": signal}
    cerebro = build([frame], Account(), StampedStrategy, params, modes=Modes(feed=StampedData))
    return cerebro.run()[0].taken[model.lookback + 1 :]


def timed(function: Callable[[Any], Any], inputs: Iterable[Any]) -> list[float]:
    taken = []
    for item in inputs:
        begin = time.perf_counter()
        function(item)
        taken.append(time.perf_counter() - begin)
    return taken


def evaluations(model: ScoreModel, frame: pd.DataFrame, signal: str, bars: int) -> list[float]:
    columns = {**to_arrays(frame), "timestamp": frame["timestamp"].to_numpy()}
    ends = range(model.lookback + 1, model.lookback + 1 + bars)
    tails = [
        {name: values[end - model.lookback - 1 : end] for name, values in columns.items()} for end in ends
    ]
    return timed(lambda tail: model.evaluate(tail, signal, 3_600_000), tails)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a smoke run: its figures mean little")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    bars, rounds, chapter_bars = (50, 1, 5) if args.quick else (2_000, args.rounds, 100)
    torch.set_num_threads(1)
    model, trader = quick_model(), chapter.default_trader()
    frame = simulate("planted", seed=7, bars=model.lookback + 1 + bars)
    window = range(chapter.WARMUP, chapter.WARMUP + chapter_bars)
    tasks: dict[str, Callable[[], list[float]]] = {
        "chapter, one bar": lambda: timed(lambda i: chapter.decide_bar(trader, frame, i), window),
    }
    for signal in ("forward", "state"):
        tasks[f"{signal}: decision"] = lambda signal=signal: decisions(model, frame, signal)
        tasks[f"{signal}: evaluate"] = lambda signal=signal: evaluations(model, frame, signal, bars)
    found: dict[str, list[np.ndarray]] = {name: [] for name in tasks}
    for _ in range(rounds):
        for name, task in tasks.items():
            found[name].append(np.percentile(task(), PERCENTILES))
    middle = {name: np.median(rows, axis=0) for name, rows in found.items()}
    heading(
        "one live bar, one thread, extended features",
        f"{rounds} alternating rounds of {bars:,} bars (chapter: {chapter_bars})",
    )
    print(" " * 22 + "".join(f"{f'p{p}':>12}" for p in PERCENTILES))
    for name, row in middle.items():
        print(f"{name:<22}" + "".join(microseconds(value) for value in row))
    decided, old = middle["forward: decision"], middle["chapter, one bar"]
    print(f"\nthe chapter's bar takes {old[0] / decided[0]:.0f} times as long at the median")
    verdict("p99 of a live decision, forward (ms)", 1e3 * decided[2], 1.0, at_least=False)
    verdict("p99 of a live decision, state (ms)", 1e3 * middle["state: decision"][2], 1.0, at_least=False)


if __name__ == "__main__":
    main()
