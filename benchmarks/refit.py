"""Claim: a model that is fitted again to the whole span ranks the rows after it no worse, at most 2.5 times the cost.

For each span: a model as `scorenet train` makes it, and one with `refit=true`; both are measured on the bars that
follow the span. The columns:

density       mean log-density of the states, nats, in the same units: higher is better
coverage      largest |share of rows with rank <= a, minus a| over a of 1, 5, 10, 25 and 50 %: 0 is best
below 5 %     share of rows with a density rank below 5 %
confidence    Kolmogorov-Smirnov distance of the confidence from a uniform distribution
log score, CRPS, IC   of the forward return

"own rows" is the refitted model with ranks and confidence from all rows that it was trained on, "other scores" the one
with confidence from the scores of the plain model: the two calibrations that the refit does not use.

real          BTC, ETH, SOL and BNB pooled; spans end each half-year, the following half-year is measured
simulated     a market whose law does not change (planted) and one with regimes, after 30,000 bars

python benchmarks/refit.py [--quick | --light] [--data FOLDER] [--only real|simulated] [--symbols 4]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any
from unittest import mock

import numpy as np
import torch
from _bybit import add_data_option, load_markets, milliseconds
from _timing import heading
from numpy.typing import NDArray

from feeds import simulate
from runs.markets import as_market
from scorenet import Market, ModelConfig, ScoreModel, learn
from scorenet.conformal.calibration import Calibration, coverage_error, ks_uniform
from scorenet.diagnostics.held_out import forward_report
from scorenet.learning import fit
from scorenet.learning.rows import Rows, pool

SYMBOLS = ("BTC", "ETH", "SOL", "BNB")
CUTS = ("2023-07-01", "2024-01-01", "2024-07-01", "2025-01-01")
HALF_YEAR = 182 * 86_400_000
COLUMNS = ("density", "coverage", "below_5", "confidence", "log_score", "crps", "ic")

Row = dict[str, float]


def cut(market: Market, since: int, until: int) -> Market:
    inside = (market.bars["timestamp"] >= since) & (market.bars["timestamp"] < until)
    bars = {name: values[inside] for name, values in market.bars.items()}
    return Market(market.symbol, bars, market.step_ms)


def rows_of(model: ScoreModel, markets: Sequence[Market], since: int, until: int) -> Rows:
    """Return states and outcomes in [since, until); the bars before it warm the features up."""
    back = model.lookback * markets[0].step_ms
    parts = [cut(market, since - back, until) for market in markets]
    return pool(parts, model.features, model.config.forward.all_horizons)


def measure(model: ScoreModel, rows: Rows) -> Row:
    forward, known = model.forward(rows.x), np.isfinite(rows.y[:, 0])
    rank = model.density_rank(rows.x)
    report = forward_report(model.forward(rows.x[known]), rows.y[known, 0])
    return {
        "density": float(model.log_density(rows.x).mean()),
        "coverage": coverage_error(rank),
        "below_5": float((rank < 0.05).mean()),
        "confidence": ks_uniform(model.calibration.confidence("forward", forward.score)),
        "log_score": report["forward_log_score"],
        "crps": report["forward_crps"],
        "ic": report["forward_ic"],
    }


def calibrated(model: ScoreModel, judge: ScoreModel, x: NDArray[np.float64]) -> ScoreModel:
    """Return a model with the ranks and the confidence that `judge` gives to rows x."""
    scores = {"forward": judge.forward(x).score, "state": np.zeros(len(x))}
    return replace(model, calibration=Calibration.fit(judge.log_density(x), scores))


def trained(span: Sequence[Market], config: ModelConfig) -> tuple[dict[str, ScoreModel], dict[str, float]]:
    """Return both models and their CPU seconds from one training: the refit begins with the plain model."""
    models, seconds = {}, {}
    real, started = fit._refit, time.process_time()

    def watched(selected: ScoreModel, *given: Any) -> Any:
        models["plain"], seconds["plain"] = selected, time.process_time() - started
        return real(selected, *given)

    with mock.patch.object(fit, "_refit", watched):
        models["refit"] = learn(span, config.with_values(refit=True), device="cpu", progress=False)
    seconds["refit"] = time.process_time() - started
    return models, seconds


def compare(name: str, markets: Sequence[Market], end: int, config: ModelConfig) -> dict[str, Row]:
    """Print and return the figures of one span by kind of training."""
    models, seconds = trained([cut(market, 0, end) for market in markets], config)
    found = {}
    own, begin = rows_of(models["refit"], markets, 0, end), models["refit"].info["calibration_span"][0]
    models["own rows"] = calibrated(models["refit"], models["refit"], own.x)
    models["other scores"] = calibrated(models["refit"], models["plain"], own.x[own.time >= begin])
    later = rows_of(models["plain"], markets, end, end + HALF_YEAR)
    for kind, model in models.items():
        found[kind] = measure(model, later)
        print(line(f"{name} {kind}", found[kind]), flush=True)
    ratio = seconds["refit"] / seconds["plain"]
    found["refit"]["ratio"] = ratio
    print(f"{'':<28}CPU s {seconds['plain']:.0f} -> {seconds['refit']:.0f}: {ratio:.2f} times", flush=True)
    return found


def line(name: str, row: Row) -> str:
    return f"{name:<28}" + "".join(f"{row[column]:>12.4f}" for column in COLUMNS)


def real(folder: str, names: tuple[str, ...], cuts: Sequence[str]) -> Iterator[tuple[str, list[Market], int]]:
    markets = load_markets(folder, names)  # type: ignore[arg-type]
    for day in cuts:
        yield day, markets, milliseconds(day)


def simulated(seeds: Sequence[int], bars: int) -> Iterator[tuple[str, list[Market], int]]:
    for kind in ("planted", "regimes"):
        for seed in seeds:
            market = as_market(simulate(kind, seed=seed, bars=bars + HALF_YEAR // 3_600_000))
            yield f"{kind} {seed}", [market], int(market.bars["timestamp"][bars])


def summary(found: Sequence[dict[str, Row]]) -> None:
    for kind in found[0]:
        mean = {column: float(np.mean([part[kind][column] for part in found])) for column in COLUMNS}
        print(line(f"mean, {kind}", mean))
    plain, refit = (np.array([part[kind]["coverage"] for part in found]) for kind in ("plain", "refit"))
    ratio = float(np.mean([part["refit"]["ratio"] for part in found]))
    better = int((refit <= plain).sum())
    print(
        f"coverage error {plain.mean():.4f} -> {refit.mean():.4f}, no larger on {better} of {len(found)} spans: "
        f"{'met' if refit.mean() <= plain.mean() else 'MISSED'}; cost {ratio:.2f} times (target: 2.5 at most): "
        f"{'met' if ratio <= 2.5 else 'MISSED'}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one span of each, hardly any training")
    parser.add_argument("--light", action="store_true", help="about a quarter of the default training")
    parser.add_argument("--only", choices=("real", "simulated"))
    parser.add_argument("--symbols", type=int, default=len(SYMBOLS), help="number of real symbols")
    parser.add_argument("--cuts", nargs="+", default=list(CUTS), help="ends of the real spans")
    add_data_option(parser)
    options = parser.parse_args()
    torch.set_num_threads(1)
    config, seeds, bars = ModelConfig(), (11, 12), 30_000
    if options.quick:
        few = {"density.steps": 60, "density.points": 600, "forward.steps": 20, "forward.scale_steps": 20}
        config, seeds, bars = config.with_values(**{"state.steps": 30, **few}), (11,), 8_000
        options.cuts = options.cuts[:1]
    if options.light:
        few = {"density.steps": 800, "density.points": 12_000, "forward.steps": 300, "state.steps": 200}
        config = config.with_values(**few)
    heading("refit on the whole span", "rows after the span: density, calibration, forward return")
    print(f"{'':<28}" + "".join(f"{column:>12}" for column in COLUMNS))
    if options.only != "simulated":
        spans = real(options.data, SYMBOLS[: options.symbols], options.cuts)
        summary([compare(name, markets, end, config) for name, markets, end in spans])
    if options.only != "real":
        spans = simulated(seeds, bars)
        summary([compare(name, markets, end, config) for name, markets, end in spans])


if __name__ == "__main__":
    main()
