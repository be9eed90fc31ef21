"""Claim: p(y | x) of the next 24 hours is better out of sample than common densities of returns.

BTC, ETH, SOL and BNB, hourly, pooled. Half-year test folds from 2023-01 to 2025-06; each trains on all data that
ended lookback + horizon bars before it. Our net uses the last 15 % of that span for model selection; the baselines
fit on all of it. Scores are per row in volatility units of the horizon (a common scale, so differences of log
scores equal those of the return itself). Symbols at one instant are one observation, and the Diebold-Mariano test
corrects for overlapping returns (Newey-West, lag 48).

EWMA Student     EWMA volatility; half-life, location, scale and degrees of freedom by maximum likelihood, per symbol
ridge Gaussian   ridge regression on our features in units of the trailing volatility, constant variance

Every setting was fixed on folds of 2021-07 to 2022-12.

python benchmarks/forward_density.py [--quick] [--data FOLDER] [--plot FILE.png]
"""

from __future__ import annotations

import argparse
import itertools
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from _bybit import add_data_option, load_markets, milliseconds
from _comparison import by_time, diebold_mariano
from _returns import HALF_LIVES, EwmaStudent, RidgeGaussian, ewma_volatility
from _timing import heading

from scorenet import Market, ModelConfig
from scorenet.features import feature_set
from scorenet.forward.distribution import ForwardReturn, forward_target
from scorenet.forward.training import fit_forward_net
from scorenet.scaling import Scaler

SYMBOLS = ("BTC", "ETH", "SOL", "BNB")
FOLDS = ("2023-01-01", "2023-07-01", "2024-01-01", "2024-07-01", "2025-01-01", "2025-07-01")
HOUR = 3_600_000
LAG = 48


@dataclass
class Rows:
    """Rows of all symbols in time order: features [N, F], outcome [N], time [N], symbol [N], EWMA volatilities [N]."""

    x: np.ndarray
    y: np.ndarray
    time: np.ndarray
    symbol: np.ndarray
    volatility: dict[int, np.ndarray]

    def where(self, mask: np.ndarray) -> Rows:
        volatility = {half_life: values[mask] for half_life, values in self.volatility.items()}
        return Rows(self.x[mask], self.y[mask], self.time[mask], self.symbol[mask], volatility)


def stack(markets: list[Market], horizon: int) -> Rows:
    features, parts = feature_set("extended"), []
    for number, market in enumerate(markets):
        close = np.asarray(market.bars["close"], dtype=np.float64)
        x, own = features.compute(market.bars, market.step_ms), features.volatility(market.bars)
        y = forward_target(close, own, horizon)
        relative = {half_life: ewma_volatility(close, half_life) / own for half_life in HALF_LIVES}
        rows = Rows(x, y, np.asarray(market.bars["timestamp"]), np.full(len(x), number), relative)
        parts.append(rows.where(np.isfinite(x).all(axis=1) & np.isfinite(y)))
    order = np.argsort(np.concatenate([part.time for part in parts]), kind="stable")
    joined = Rows(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in ("x", "y", "time", "symbol")),
        {
            half_life: np.concatenate([part.volatility[half_life] for part in parts])
            for half_life in HALF_LIVES
        },
    )
    return joined.where(order)


def ours(train: Rows, test: Rows, config: ModelConfig, lookback: int) -> tuple[ForwardReturn, float]:
    """Fit as `scorenet train` does; the last 15 % of the span selects."""
    horizon = config.forward.horizon
    cut = train.time[0] + int(0.85 * (train.time[-1] - train.time[0]))
    fit = train.where(train.time < cut - horizon * HOUR)
    held = train.where(train.time >= cut + lookback * HOUR)
    kinds = feature_set("extended").kinds
    scaler = Scaler.fit(fit.x, kinds)
    z, held_z, test_z = (torch.from_numpy(scaler.transform(rows.x)) for rows in (fit, held, test))
    net, _ = fit_forward_net(
        z.float(),
        torch.from_numpy(fit.y).float(),
        held_z.float(),
        torch.from_numpy(held.y).float(),
        config.forward,
        seed=config.seed + 23,
        overlap=horizon * len(np.unique(train.symbol)),
        scale_columns=torch.tensor([float(kind == "log") for kind in kinds]),
        progress=False,
    )
    net = net.double().eval().requires_grad_(False)
    return ForwardReturn.from_net(net, test_z, config.forward.signal_sigma), float(net.belief)


def student(train: Rows, test: Rows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return log score, CRPS and PIT of each test row; a symbol with little history is fitted on all symbols."""
    found = [np.empty(len(test.y)) for _ in range(3)]
    for number in np.unique(test.symbol):
        own, place = train.where(train.symbol == number), test.symbol == number
        model = EwmaStudent()
        fitted = own if len(own.y) >= 2_190 else train
        model.fit(fitted.y, fitted.volatility)
        rows = test.where(place)
        scores = (*model.scores(rows.y, rows.volatility), model.pit(rows.y, rows.volatility))
        for out, values in zip(found, scores, strict=True):
            out[place] = values
    return found[0], found[1], found[2]


def walk(rows: Rows, config: ModelConfig, folds: tuple[str, ...]) -> dict[str, np.ndarray]:
    lookback = feature_set("extended").lookback
    gap = (lookback + config.forward.horizon) * HOUR
    parts: list[dict[str, np.ndarray]] = []
    for since, until in itertools.pairwise(folds):
        begin, end = milliseconds(since), milliseconds(until)
        train, test = (
            rows.where(rows.time < begin - gap),
            rows.where((rows.time >= begin) & (rows.time < end)),
        )
        started = time.process_time()
        coming, shrinkage = ours(train, test, config, lookback)
        kinds = feature_set("extended").kinds
        scaler = Scaler.fit(train.x, kinds)
        ridge = RidgeGaussian().fit(scaler.transform(train.x), train.y)
        part = {"time": test.time, "symbol": test.symbol, "y": test.y, "mean": coming.mean}
        part |= {
            "log ours": coming.log_density(test.y),
            "crps ours": coming.crps(test.y),
            "pit ours": coming.pit(test.y),
        }
        part["log EWMA Student"], part["crps EWMA Student"], part["pit EWMA Student"] = student(train, test)
        part["log ridge Gaussian"], part["crps ridge Gaussian"] = ridge.scores(
            scaler.transform(test.x), test.y
        )
        parts.append(part)
        scores_text = "  ".join(
            f"{key} {part[f'log {key}'].mean():+.4f}" for key in ("ours", "EWMA Student", "ridge Gaussian")
        )
        seconds = time.process_time() - started
        print(
            f"  {since}: {len(train.y):7,} train {len(test.y):6,} test rows   log score {scores_text}   "
            f"shrinkage {shrinkage:.2f}  {seconds:.0f} CPU s",
            flush=True,
        )
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def report(found: dict[str, np.ndarray]) -> None:
    print(f"{'':<18}{'log score':>10}{'CRPS':>9}   advantage of ours (Diebold-Mariano)")
    for name in ("ours", "EWMA Student", "ridge Gaussian"):
        line = f"{name:<18}{found[f'log {name}'].mean():>10.4f}{found[f'crps {name}'].mean():>9.4f}"
        if name != "ours":
            log = diebold_mariano(by_time(found["log ours"] - found[f"log {name}"], found["time"]), LAG)
            crps = diebold_mariano(by_time(found[f"crps {name}"] - found["crps ours"], found["time"]), LAG)
            relative = crps.mean / found[f"crps {name}"].mean()
            line += f"   log score {log.mean:+.4f} nat (t {log.t:+.2f}, p {log.p:.2g})"
            line += f"   CRPS {relative:+.2%} (t {crps.t:+.2f}, p {crps.p:.2g})"
            line += "   met" if max(log.p, crps.p) < 0.05 and min(log.t, crps.t) > 0 else "   MISSED"
        print(line)
    print("by symbol: log-score advantage over EWMA Student, information coefficient of the mean, hit rate")
    for number, symbol in enumerate(SYMBOLS):
        rows = found["symbol"] == number
        if rows.any():
            gain = (found["log ours"] - found["log EWMA Student"])[rows].mean()
            hit = (np.sign(found["mean"]) == np.sign(found["y"]))[rows].mean()
            ic = np.corrcoef(found["mean"][rows], found["y"][rows])[0, 1]
            print(f"  {symbol}  {gain:+.4f} nat  IC {ic:+.4f}  hit {hit:.4f}")
    ic, error = np.corrcoef(found["mean"], found["y"])[0, 1], 1 / np.sqrt(len(np.unique(found["time"])) / 24)
    print(f"information coefficient, all: {ic:+.4f} (one standard error {error:.4f})")


def plot(found: dict[str, np.ndarray], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3), sharey=True, layout="constrained")
    for axis, name in zip(axes, ("ours", "EWMA Student"), strict=True):
        pit = found[f"pit {name}"]
        axis.hist(pit, bins=20, range=(0, 1), weights=np.full(len(pit), 20 / len(pit)), color="#6ba6f2")
        axis.axhline(1.0, color="#171a1f", linewidth=1, linestyle="--")
        axis.set_title(f"PIT, {name}", fontsize=10)
        axis.set_xlabel("P(y ≤ outcome | x)")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one fold, two symbols, hardly any training")
    parser.add_argument("--plot", type=Path, help="write the PIT histograms to this PNG")
    add_data_option(parser)
    options = parser.parse_args()
    torch.set_num_threads(1)
    config, folds, symbols = ModelConfig().with_values(**{"forward.horizon": 24}), FOLDS, SYMBOLS
    if options.quick:
        brief = replace(config.forward, scale_steps=100, steps=100, members=2)
        config, folds, symbols = replace(config, forward=brief), FOLDS[:2], SYMBOLS[:2]
    heading("forward density, 24 hours ahead", "purged walk-forward; nats and volatility units per row")
    rows = stack(load_markets(options.data, symbols), config.forward.horizon)
    found = walk(rows, config, folds)
    report(found)
    if options.plot:
        plot(found, options.plot)


if __name__ == "__main__":
    main()
