"""Claim: a model of 37,000 hourly bars is trained in 0.4 of the CPU time of the earlier settings, and is as good.

BTC's first 37,000 hourly bars, default features, one thread. The earlier settings: 60,000 labels of 8 noise levels, the
score computed anew in every step of the per-bar net, twice the batch of the state net, no early stop. CPU seconds by
part, and held-out figures of the same rows. The log-likelihood is that of the test rows plus noise of the density
sigma, by the heat equation with the exact divergence; its difference has a standard error by blocks of two weeks.

python benchmarks/refit_cost.py [--quick] [--data FOLDER]
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
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
QUICK = {"state.steps": 20, "density.points": 500, "density.steps": 40, "forward.steps": 20}
PARTS = {"fit_denoiser": "state net", "fit_density_net": "per-bar density", "fit_forward_net": "forward nets"}


def timed_learn(market: Market, config: ModelConfig) -> tuple[ScoreModel, dict[str, float]]:
    """Train with the CPU seconds of each part noted."""
    spent: dict[str, float] = defaultdict(float)

    def watched(name: str) -> Callable[..., Any]:
        real = getattr(nets, name)

        def run(*given: Any, **options: Any) -> Any:
            begin = time.process_time()
            result = real(*given, **options)
            spent[PARTS[name]] += time.process_time() - begin
            return result

        return run

    begin = time.process_time()
    with ExitStack() as stack:
        for name in PARTS:
            stack.enter_context(patch.object(nets, name, watched(name)))
        model = learn([market], config, device="cpu", progress=False)
    whole = time.process_time() - begin
    spent["the rest"] = whole - sum(spent.values())
    spent["all"] = whole
    return model, dict(spent)


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


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="7,000 bars, hardly any training")
    add_data_option(parser)
    options = parser.parse_args()
    torch.set_num_threads(1)
    (market,) = load_markets(options.data, ("BTC",))
    count = 7_000 if options.quick else BARS
    market = replace(market, bars={name: np.asarray(column)[:count] for name, column in market.bars.items()})
    now = ModelConfig()
    earlier = now.with_values(**EARLIER)
    if options.quick:
        now, earlier = now.with_values(**QUICK), earlier.with_values(**QUICK)
    heading(f"training on {count:,} hourly bars", "CPU seconds by part, and held-out figures")
    seconds, logs = {}, {}
    for name, config in {"now": now, "earlier": earlier}.items():
        model, seconds[name] = timed_learn(market, config)
        logs[name] = likelihood(model, market)
        print(f"  {name}")
        print("    " + ", ".join(f"{part} {value:.1f} s" for part, value in seconds[name].items()))
        metrics = model.info["metrics"] | {"log_likelihood": float(logs[name].mean())}
        print("    " + ", ".join(f"{key} {value:.4g}" for key, value in metrics.items()), flush=True)
    verdict(
        "CPU time now over earlier", seconds["now"]["all"] / seconds["earlier"]["all"], 0.27, at_least=False
    )
    share = seconds["now"]["per-bar density"] / seconds["earlier"]["per-bar density"]
    verdict("  of the per-bar density", share, 0.20, at_least=False)
    verdict("CPU seconds now", seconds["now"]["all"], 35.0, at_least=False)
    gap = logs["now"] - logs["earlier"]
    block = max(round(BLOCK_HOURS * ROWS / (0.15 * count)), 1)
    print(f"  log-likelihood, now - earlier: {gap.mean():+.3f} +- {block_standard_error(gap, block):.3f} nat")


if __name__ == "__main__":
    main()
