"""Claim: the net takes a quarter of the time of a two-year hourly backtest; the chapter's loop is 200 times slower.

(a) `cerebro.run` with `ScoreStrategy` (model loaded, nothing evaluated yet), compared with the same Cerebro, broker and
    analyzers with `ReplayOrders`, which sends the same orders without a net; target: at most 1.25 times its time. The
    ratio falls with the number of orders, so the claim is about the default settings; a setting that trades more often
    and one that hardly trades are printed too. The time per bar of net and decisions hardly depends on the setting.
(b) bars per second, compared with the chapter's per-bar loop; target: at least 200 times.

python benchmarks/backtest_speed.py [--quick] [--repeats 9]
"""

from __future__ import annotations

import argparse
import time
from statistics import median
from typing import Any

import backtrader as bt
import chapter
import numpy as np
import pandas as pd
import torch
from _models import quick_model
from _timing import alternate, heading, median_ratio, verdict

from feeds import simulate
from runs.engine import build
from runs.settings import Account
from scorenet import ScoreModel
from scorenet.evaluation import forget_outputs
from strategies import ScoreStrategy
from strategies.baselines import ReplayOrders, orders_to_replay

BARS = 17_520
SETTINGS: dict[str, dict[str, Any]] = {
    "default settings": {},
    "often (rebalance_band=0.01)": {"rebalance_band": 0.01},
    "seldom (rebalance_band=0.5)": {"rebalance_band": 0.5},
}


class Contest:
    """The strategy, and the replay of its orders, on the same bars."""

    def __init__(self, model: ScoreModel, frame: pd.DataFrame, params: dict[str, Any]) -> None:
        self.frame, self.params = frame, {**params, "model": model}
        self.ready: bt.Cerebro | None = None
        first = self.cerebro(ScoreStrategy, self.params).run()[0]
        self.orders = orders_to_replay(first.analyzers.orders.get_analysis())
        again = self.cerebro(ReplayOrders, {"orders": self.orders}).run()[0]
        one, two = (run.analyzers.equity.get_analysis()["equity"] for run in (first, again))
        assert np.array_equal(one, two), "the replay is not the same run: its time says nothing"

    def cerebro(self, strategy: type[bt.Strategy], params: dict[str, Any]) -> bt.Cerebro:
        return build([self.frame], Account(), strategy, params)

    def seconds(self, strategy: type[bt.Strategy], params: dict[str, Any]) -> tuple[float, float]:
        """Return wall and processor seconds of one `cerebro.run`, without building it and reading the bars."""
        cerebro = self.cerebro(strategy, params)
        forget_outputs()
        wall, cpu = time.perf_counter(), time.process_time()
        cerebro.run()
        return time.perf_counter() - wall, time.process_time() - cpu

    def run(self, repeats: int) -> tuple[float, float, float]:
        """Print the times; return the ratios of wall and processor time, and the strategy's median wall seconds."""
        taken: dict[str, list[tuple[float, float]]] = {"score": [], "replay": []}
        alternate(
            {
                "score": lambda: taken["score"].append(self.seconds(ScoreStrategy, self.params)),
                "replay": lambda: taken["replay"].append(self.seconds(ReplayOrders, {"orders": self.orders})),
            },
            repeats,
        )
        # The first round warms up.
        wall, cpu = (
            {name: [pair[kind] for pair in pairs[1:]] for name, pairs in taken.items()} for kind in (0, 1)
        )
        for name, label in (("score", "ScoreStrategy"), ("replay", "ReplayOrders, no net")):
            print(f"    {label:<24}{median(wall[name]):7.3f} s wall {median(cpu[name]):7.3f} s processor")
        extra = median(a - b for a, b in zip(cpu["score"], cpu["replay"], strict=True)) / len(self.frame)
        print(f"    {'the net and the decisions':<24}{1e6 * extra:7.1f} us a bar")
        ratios = [median_ratio(times["score"], times["replay"]) for times in (wall, cpu)]
        return ratios[0], ratios[1], median(wall["score"])


def chapter_bars_per_second(frame: pd.DataFrame, bars: int) -> float:
    torch.set_num_threads(1)  # one row at a time: a second thread would make it slower
    trader = chapter.default_trader()
    chapter.run(trader, frame, 5)
    begin = time.perf_counter()
    chapter.run(trader, frame, bars)
    return bars / (time.perf_counter() - begin)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a smoke run: its figures mean little")
    parser.add_argument("--repeats", type=int, default=9)
    args = parser.parse_args()
    bars, repeats, loop_bars = (2_000, 2, 10) if args.quick else (BARS, args.repeats, 50)
    model = quick_model()
    frame = simulate("planted", seed=7, bars=bars + model.lookback)
    loop, own, ratios = [], [], {}
    for name, params in SETTINGS.items():
        contest = Contest(model, frame, params)
        heading(
            f"{name}: {len(contest.orders['size']):,} orders on {len(frame):,} hourly bars",
            f"median of {repeats} alternating repeats",
        )
        loop.append(chapter_bars_per_second(frame, loop_bars))
        ratios[name] = contest.run(repeats)
        own.append(len(frame) / ratios[name][2])
        loop.append(chapter_bars_per_second(frame, loop_bars))
    print(f"bars per second: ScoreStrategy {own[0]:,.0f}, the chapter's loop {median(loop):,.1f}\n")
    for name, (wall, cpu, _) in ratios.items():
        verdict(f"time beside the replay, {name}", wall, 1.25, at_least=False)
        print(f"{'  by processor time':<52}{cpu:9.2f}")
    verdict("bars per second beside the chapter's loop", own[0] / median(loop), 200, at_least=True)


if __name__ == "__main__":
    main()
