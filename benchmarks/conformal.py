"""Claim: the density threshold rejects the nominal share of in-distribution bars.

exchangeable  calibration rows and new rows from one distribution (an 11-d mixture with its exact log-density, 10,000
              calibration rows): false-reject rate within 1 point of 1, 5 and 10 %, for the split and the adaptive
              form. For comparison, the chapter's rule, log p(x) - log p(0) > -5, on standard normal rows, where every
              rejection is false.
real          one model of BTC and ETH, trained and calibrated before 2024-07, evaluated bar by bar on the following
              year: the split form, and the adaptive form, which must be within 3 points. Its rate, 0.005, follows from
              its own bound: over a year of hours (1 + rate) / (rate T) is 2.3 points. Nothing was chosen on that year.

python benchmarks/conformal.py [--quick] [--model MODEL_DIR] [--data FOLDER]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from _bybit import add_data_option, load_markets, milliseconds
from _timing import heading

from scorenet import Market, ModelConfig, ScoreModel, learn
from scorenet.conformal.adaptive import adaptive_threshold
from scorenet.conformal.calibration import Calibration
from scorenet.conformal.dependence import rejected_share
from scorenet.conformal.drift import first_alarm, population_stability
from scorenet.score.mixture import Mixture

LEVELS = (0.01, 0.05, 0.10)
SYMBOLS = ("BTC", "ETH")
CUT, END = "2024-07-01", "2025-07-01"


def exchangeable(draws: int, fresh: int) -> None:
    rates: dict[tuple[str, float], list[float]] = {}
    for seed in range(draws):
        target = Mixture.random(11, 6, seed)
        table = target.log_density(target.sample(10_000, seed=100 + seed)).numpy()
        rows = target.log_density(target.sample(fresh, seed=200 + seed)).numpy()
        calibration = Calibration.fit(table, {"forward": table, "state": table})
        for level in LEVELS:
            split = float((calibration.density_rank(rows) < level).mean())
            adaptive = float(1 - adaptive_threshold(rows, calibration, level=level).in_distribution.mean())
            rates.setdefault(("split", level), []).append(split)
            rates.setdefault(("adaptive", level), []).append(adaptive)
    print(f"exchangeable rows, {draws} distributions: false-reject rate (target: within 1 point)")
    for (form, level), found in rates.items():
        worst = max(abs(rate - level) for rate in found)
        print(
            f"  {form:<9}{level:>5.0%}  mean {np.mean(found):7.2%}   worst of {draws} {worst:6.2%} off   "
            f"{'met' if worst <= 0.01 else 'MISSED'}"
        )


def chapter(rows: int) -> None:
    print("the chapter's rule, log p(x) - log p(0) > -5, on standard normal rows: share rejected")
    for dim in (10, 11, 20, 40):
        x = torch.randn(rows, dim, generator=torch.Generator().manual_seed(dim))
        print(f"  {dim:>2} features  {float((-0.5 * x.square().sum(1) <= -5).double().mean()):7.2%}")


def cut_at(market: Market, since: int, until: int) -> Market:
    inside = (market.bars["timestamp"] >= since) & (market.bars["timestamp"] < until)
    return Market(
        market.symbol, {name: values[inside] for name, values in market.bars.items()}, market.step_ms
    )


def real(markets: list[Market], config: ModelConfig, folder: Path | None) -> None:
    begin, end = milliseconds(CUT), milliseconds(END)
    if folder is None:
        model = learn([cut_at(market, 0, begin) for market in markets], config, device="cpu", progress=False)
    else:
        model = ScoreModel.load(folder)
        if model.seen_until is not None and model.seen_until >= begin:
            raise SystemExit(f"{folder} was trained on bars of {CUT} or later: train it with --until {CUT}")
    print(f"real bars, {CUT} to {END}: share rejected (target: adaptive within 3 points)", flush=True)
    for market in markets:
        year(model, cut_at(market, begin - model.lookback * market.step_ms, end))


def year(model: ScoreModel, market: Market) -> None:
    density = model.evaluate(market.bars, "forward", market.step_ms).log_density[model.lookback :]
    density = density[np.isfinite(density)]
    rank = model.calibration.density_rank(density)
    for level in LEVELS:
        plain = rejected_share(rank, level, model.lookback)
        adaptive = adaptive_threshold(density, model.calibration, level=level)
        rolling = adaptive_threshold(density, model.calibration, level=level, window=4 * model.lookback)
        share, moving = (float(1 - part.in_distribution.mean()) for part in (adaptive, rolling))
        print(
            f"  {market.symbol:<16}{level:>4.0%}  split {plain.share:6.2%} ± {plain.standard_error:5.2%}   "
            f"adaptive {share:6.2%}   adaptive, ranks of the last {4 * model.lookback:,} bars {moving:6.2%}   "
            f"{'met' if abs(share - level) <= 0.03 else 'MISSED'}"
        )
    alarm = first_alarm(rank)
    alarm_text = "silent" if alarm is None else f"after {alarm:,} bars"
    print(
        f"  {market.symbol:<16}population stability {population_stability(rank):.3f}, drift alarm {alarm_text}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few rows, hardly any training")
    parser.add_argument(
        "--model", type=Path, help="a model trained with --until 2024-07-01, in place of training one"
    )
    add_data_option(parser)
    options = parser.parse_args()
    torch.set_num_threads(1)
    config = ModelConfig()
    if options.quick:
        config = config.with_values(
            **{
                "state.steps": 30,
                "state.max_components": 4,
                "density.steps": 60,
                "density.points": 600,
                "forward.steps": 20,
                "forward.scale_steps": 20,
            }
        )
    heading("density threshold", "share of bars rejected, nominal 1, 5 and 10 %")
    exchangeable(2 if options.quick else 10, 5_000 if options.quick else 50_000)
    chapter(20_000)
    real(load_markets(options.data, SYMBOLS), config, options.model)


if __name__ == "__main__":
    main()
