"""Claim: a refit that begins with the weights of the half-year before costs less, and is as good.

BTC, ETH, SOL and BNB, one pooled model each half-year on all bars before, default settings. "cold" begins with random
weights, "warm" with those of the cold model of the half-year before. CPU seconds of the training, and the figures of
`benchmarks/refit.py` for the half-year after it, which neither model has seen.

python benchmarks/warm_start.py [--data FOLDER] [--folds 3]
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from _bybit import add_data_option, load_markets, milliseconds
from _timing import heading, verdict
from refit import HALF_YEAR, SYMBOLS, cut, measure, rows_of

from scorenet import Market, ModelConfig, ScoreModel, learn

CUTS = ("2022-07-01", "2023-01-01", "2023-07-01", "2024-01-01", "2024-07-01")
SHOWN = ("density", "coverage", "log_score", "crps", "ic")


def trained(markets: list[Market], stop: int, start: ScoreModel | None) -> tuple[ScoreModel, float]:
    begin = time.process_time()
    span = [cut(market, 0, stop) for market in markets]
    model = learn(span, ModelConfig(), device="cpu", warm_start=start, progress=False)
    return model, time.process_time() - begin


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--folds", type=int, default=3, help="half-years to measure, from 2023-01 (default: 3)"
    )
    add_data_option(parser)
    options = parser.parse_args()
    torch.set_num_threads(1)
    markets = load_markets(options.data, SYMBOLS)
    first, *cuts = (milliseconds(day) for day in CUTS)
    heading("a refit each half-year", "CPU seconds, and figures of the half-year after the refit")
    previous, _ = trained(markets, first, None)
    ratios: list[float] = []
    gaps: dict[str, list[float]] = {name: [] for name in SHOWN}
    for day, stop in list(zip(CUTS[1:], cuts, strict=True))[: options.folds]:
        (cold, cold_seconds), (warm, warm_seconds) = (
            trained(markets, stop, start) for start in (None, previous)
        )
        figures = {}
        for name, model, seconds in (("cold", cold, cold_seconds), ("warm", warm, warm_seconds)):
            figures[name] = measure(model, rows_of(model, markets, stop, stop + HALF_YEAR))
            shown = ", ".join(f"{key} {figures[name][key]:.4f}" for key in SHOWN)
            print(f"  {day} {name}: {seconds:6.1f} s   {shown}", flush=True)
        previous = cold
        ratios.append(warm_seconds / cold_seconds)
        for key, values in gaps.items():
            values.append(figures["warm"][key] - figures["cold"][key])
    verdict("CPU time warm over cold (median)", float(np.median(ratios)), 0.6, at_least=False)
    for key, values in gaps.items():
        print(f"  {key}, warm - cold: " + ", ".join(f"{value:+.4f}" for value in values))


if __name__ == "__main__":
    main()
