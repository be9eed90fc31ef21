"""Claim: a model of 37,000 hourly bars is trained in 0.27 of the CPU time of the earlier settings, and is as good.

BTC's first 37,000 hourly bars, default features. Three trainings in one run: now on one core, now on two (the same
model to the last bit), and the earlier settings on one core: 60,000 labels of 8 noise levels, the score computed anew
in every step of the per-bar net, twice the batch of the state net, no early stop. CPU and wall seconds, and held-out
figures of the same rows. The log-likelihood is that of the test rows plus noise of the density sigma, by the heat
equation with the exact divergence; its difference has a standard error by blocks of two weeks. `load` is the mean
number of processes that wanted a core; wall seconds mean something where it stays near the cores of the training.

`--pooled`: all symbols of the folder in one model instead, now on one core and on two; with fewer than seven symbols,
the histories are repeated until seven, which costs what seven symbols of their length cost.

python benchmarks/refit_cost.py [--pooled] [--quick] [--data FOLDER]
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from _bybit import add_data_option, load_markets
from _comparison import block_standard_error
from _timing import heading, verdict

import scorenet.learning.nets as nets
from scorenet import Market, ModelConfig, ScoreModel, learn
from scorenet.density.heat import heat_log_density
from scorenet.score.divergence import denoiser_field

BARS, ROWS, BLOCK_HOURS = 37_000, 500, 14 * 24
EARLIER = {
    "state.batch_size": 512,
    "state.patience": 0,
    "density.points": 60_000,
    "density.label_nodes": 8,
    "density.batch_size": 512,
    "density.steps": 4000,
    "density.learning_rate": 3e-3,
    "density.fresh_slopes": True,
    "density.check_rows": 1500,
    "forward.patience": 0,
}
SYMBOLS, POOLED = ("BTC", "ETH", "SOL", "BNB"), 7
QUICK = {"state.steps": 20, "density.points": 500, "density.steps": 40, "forward.steps": 20}
PARTS = {"fit_denoiser": "state net", "fit_density_net": "per-bar density", "fit_forward_net": "forward nets"}


@dataclass(frozen=True)
class Cost:
    """Seconds of one training: of the CPU and on the wall, and those of each part by the threads that computed it."""

    cpu: float
    wall: float
    parts: dict[str, float]
    load: float

    def __str__(self) -> str:
        parts = ", ".join(f"{name} {seconds:.1f}" for name, seconds in self.parts.items())
        return f"CPU {self.cpu:.1f} s, wall {self.wall:.1f} s, load {self.load:.1f} (CPU s: {parts})"


def timed_learn(markets: list[Market], config: ModelConfig, threads: int) -> tuple[ScoreModel, Cost]:
    """Train on a number of cores, with the CPU seconds of each part noted."""
    spent: dict[str, float] = defaultdict(float)

    def watched(name: str) -> Callable[..., Any]:
        real = getattr(nets, name)

        def run(*given: Any, **options: Any) -> Any:
            begin = time.thread_time()
            result = real(*given, **options)
            spent[PARTS[name]] += time.thread_time() - begin
            return result

        return run

    begin, started = time.process_time(), time.perf_counter()
    with ExitStack() as stack:
        for name in PARTS:
            stack.enter_context(patch.object(nets, name, watched(name)))
        model = learn(markets, config, device="cpu", threads=threads, progress=False)
    cpu, wall = time.process_time() - begin, time.perf_counter() - started
    spent["the rest"] = cpu - sum(spent.values())
    return model, Cost(cpu, wall, dict(spent), os.getloadavg()[0])


def likelihood(model: ScoreModel, market: Market) -> np.ndarray:
    """Return log p_sigma of noised test rows, evenly spaced in time; the same rows and noise for every model."""
    x = model.features.compute(market.bars, market.step_ms)
    stamps = np.asarray(market.bars["timestamp"])
    begin, end = model.info["test_span"]
    x = x[np.isfinite(x).all(axis=1) & (stamps >= begin) & (stamps <= end)]
    z = torch.from_numpy(model.scaler.transform(x[np.linspace(0, len(x) - 1, ROWS).astype(int)]))
    sigma = model.config.density.sigma
    z = z + sigma * torch.randn(z.shape, generator=torch.Generator().manual_seed(7), dtype=z.dtype)
    found = heat_log_density(
        denoiser_field(model.denoiser), model.base, z,
        sigma=sigma, sigma_max=model.config.noise.sigma_max, nodes=8,
    )  # fmt: skip
    return np.asarray(found)


def shown(name: str, cost: Cost, metrics: dict[str, float]) -> None:
    print(f"  {name}\n    {cost}")
    print("    " + ", ".join(f"{key} {value:.4g}" for key, value in metrics.items()), flush=True)


def on_one_and_two_cores(markets: list[Market], config: ModelConfig) -> tuple[ScoreModel, dict[int, Cost]]:
    """Train on one core and on two, and end the program if the models differ."""
    costs, models = {}, []
    for threads in (1, 2):
        model, costs[threads] = timed_learn(markets, config, threads)
        models.append(model)
        shown(f"now, {threads} core{'s' * (threads > 1)}", costs[threads], model.info["metrics"])
    if models[0].fingerprint != models[1].fingerprint:
        sys.exit("the model of two cores is not that of one")
    verdict("wall time on two cores over one", costs[2].wall / costs[1].wall, 0.65, at_least=False)
    return models[0], costs


def single(folder: Path, quick: bool) -> None:
    (market,) = load_markets(folder, SYMBOLS[:1])
    count = 7_000 if quick else BARS
    market = replace(market, bars={name: np.asarray(column)[:count] for name, column in market.bars.items()})
    heading(f"training on {count:,} hourly bars", "seconds by part, and held-out figures")
    faster = QUICK if quick else {}
    model, costs = on_one_and_two_cores([market], ModelConfig().with_values(**faster))
    earlier = ModelConfig().with_values(**EARLIER).with_values(**faster)
    before, cost = timed_learn([market], earlier, 1)
    shown("earlier settings, 1 core", cost, before.info["metrics"])
    verdict("CPU time now over earlier", costs[1].cpu / cost.cpu, 0.27, at_least=False)
    share = costs[1].parts["per-bar density"] / cost.parts["per-bar density"]
    verdict("  of the per-bar density", share, 0.20, at_least=False)
    verdict("wall time now on two cores over earlier", costs[2].wall / cost.wall, 0.20, at_least=False)
    verdict("CPU seconds now", costs[1].cpu, 35.0, at_least=False)
    verdict("wall seconds now, two cores", costs[2].wall, 20.0, at_least=False)
    gap = likelihood(model, market) - (old := likelihood(before, market))
    block = max(round(BLOCK_HOURS * ROWS / (0.15 * count)), 1)
    error = block_standard_error(gap, block)
    print(f"  log-likelihood: earlier {old.mean():.3f}, now {gap.mean():+.3f} +- {error:.3f} nat")


def pooled(folder: Path, quick: bool) -> None:
    markets = load_markets(folder, SYMBOLS)
    if quick:
        markets = [
            replace(m, bars={name: np.asarray(c)[:7_000] for name, c in m.bars.items()}) for m in markets
        ]
    markets = [
        replace(market, symbol=f"{market.symbol} again" if turn else market.symbol)
        for turn, market in ((k // len(markets), markets[k % len(markets)]) for k in range(POOLED))
    ]
    bars = sum(len(market.bars["timestamp"]) for market in markets)
    heading(f"training on {POOLED} pooled series, {bars:,} hourly bars", f"{len(SYMBOLS)} symbols, repeated")
    _, costs = on_one_and_two_cores(markets, ModelConfig().with_values(**(QUICK if quick else {})))
    verdict("wall seconds now, two cores", costs[2].wall, 60.0, at_least=False)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="7,000 bars, hardly any training")
    parser.add_argument("--pooled", action="store_true", help="seven pooled series in one model")
    add_data_option(parser)
    options = parser.parse_args()
    torch.set_num_threads(1)
    (pooled if options.pooled else single)(options.data, options.quick)


if __name__ == "__main__":
    main()
