"""Claim: the regimes of a market with known regimes are found better than by a Gaussian mixture, and about as well as
by a hidden Markov model; in random walks none are found.

`simulated:regimes` has three levels of volatility that last 200 bars. Each method is fitted to the first 70 % of the
states and labels the last 30 %, where the adjusted Rand index with the true regimes is taken. All labels use past bars
only, but for the column "smoothed". The settings of our method were chosen on seeds 1 to 8, after a first report on
seeds 11 to 16; seeds from 21 on are reported.

ours         the flow along the score of volatility, the level chosen by stability, then the causal filter
mixture      scikit-learn, full covariances, 1 to 8 components by BIC
HMM          hmmlearn, Gaussian, full covariances, 1 to 5 states by BIC; filtered, and smoothed (sees the future)

The others get all scaled features, the same rows as ours, and once more the coordinate of ours alone. "told" is the
method with the true number of regimes, 3.

python benchmarks/regimes.py [--quick] [--picture FILE] [--data FOLDER]
"""

from __future__ import annotations

import argparse
import logging
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from _bybit import add_data_option
from _timing import heading

from feeds import simulate
from feeds.simulated.api import true_regimes
from runs.markets import as_market
from scorenet.config import RegimeConfig
from scorenet.features import feature_set
from scorenet.regimes import RegimeMap, fit_regimes
from scorenet.regimes.coordinates import coordinates
from scorenet.scaling import Scaler
from scorenet.score.training import threads

HOUR = 3_600_000
SEEDS = (21, 22, 23, 24, 25, 26)
SETS = ("extended", "chapter")


class Rows:
    """States of one market: raw [N, F], scaled by the training part, coordinates, times; `cut` ends training."""

    def __init__(self, market: str, name: str, seed: int, bars: int) -> None:
        frame = simulate(market, seed=seed, bars=bars)
        features = feature_set(name)
        source = as_market(frame)
        x = features.compute(source.bars, source.step_ms)
        known = np.isfinite(x).all(axis=1)
        self.x, self.time = x[known], np.asarray(source.bars["timestamp"])[known]
        self.truth = true_regimes(frame)[known] if market == "regimes" else np.zeros(known.sum(), dtype=int)
        self.cut = int(0.7 * len(self.x))
        self.position = coordinates(features.names, self.x, features.lookback)
        self.z = Scaler.fit(self.x[: self.cut], features.kinds).transform(self.x)
        level = self.position[:, :1]
        self.level = (level - level[: self.cut].mean()) / level[: self.cut].std()

    def index(self, labels: np.ndarray) -> float:
        from sklearn.metrics import adjusted_rand_score

        return float(adjusted_rand_score(self.truth[self.cut :], labels[self.cut :]))


def fit_ours(rows: Rows) -> RegimeMap:
    cut = rows.cut
    return fit_regimes(rows.x[:cut], rows.position[:cut], rows.time[:cut], HOUR, RegimeConfig())


def mixture(z: np.ndarray, cut: int, sizes: tuple[int, ...]) -> tuple[np.ndarray, int]:
    from sklearn.mixture import GaussianMixture

    fits = [GaussianMixture(k, reg_covar=1e-4, random_state=0).fit(z[:cut]) for k in sizes]
    best = min(fits, key=lambda fit: fit.bic(z[:cut]))
    return best.predict(z), best.n_components


def markov(z: np.ndarray, cut: int, sizes: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, int]:
    """Return filtered labels, smoothed labels and the number of states."""
    from hmmlearn.hmm import GaussianHMM

    fits = [
        GaussianHMM(k, covariance_type="full", min_covar=1e-4, n_iter=50, random_state=0).fit(z[:cut])
        for k in sizes
    ]
    best = min(fits, key=lambda fit: fit.bic(z[:cut]))
    return _filtered(best, z), best.predict(z), best.n_components


def _filtered(fit: Any, z: np.ndarray) -> np.ndarray:
    likelihood = fit._compute_log_likelihood(z)
    likelihood = np.exp(likelihood - likelihood.max(axis=1, keepdims=True))
    belief, labels = fit.startprob_, []
    for row in likelihood:
        belief = belief * row + 1e-300
        belief = belief / belief.sum()
        labels.append(int(belief.argmax()))
        belief = belief @ fit.transmat_
    return np.array(labels)


def compare(rows: Rows) -> dict[str, tuple[float, int]]:
    """Return the index and the number of regimes of each method."""
    found = fit_ours(rows)
    out = {
        "ours, filter": (rows.index(found.by_filter(rows.position)), len(found)),
        "ours, flow": (rows.index(found.by_flow(rows.position)), len(found)),
    }
    for tag, z in (("all features", rows.z), ("volatility", rows.level)):
        labels, count = mixture(z, rows.cut, tuple(range(1, 9)))
        out[f"mixture, {tag}"] = (rows.index(labels), count)
        labels, count = mixture(z, rows.cut, (3,))
        out[f"mixture, {tag}, told"] = (rows.index(labels), count)
        for end, sizes in (("", (1, 2, 3, 4, 5)), (", told", (3,))):
            filtered, smoothed, count = markov(z, rows.cut, sizes)
            out[f"HMM, {tag}{end}"] = (rows.index(filtered), count)
            out[f"HMM, {tag}, smoothed{end}"] = (rows.index(smoothed), count)
    return out


def known_regimes(seeds: tuple[int, ...], bars: int) -> None:
    heading("adjusted Rand index with the true regimes", f"last 30 % of {bars:,} hourly bars, seeds {seeds}")
    for name in SETS:
        results = []
        for seed in seeds:
            results.append(compare(Rows("regimes", name, seed, bars)))
        print(f"{name} features")
        for method in results[0]:
            values = np.array([result[method][0] for result in results])
            counts = [result[method][1] for result in results]
            error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else float("nan")
            print(
                f"  {method:<38}{values.mean():6.3f} ± {error:.3f}   {np.round(values, 2)}   K {counts}",
                flush=True,
            )
        means = {method: np.mean([result[method][0] for result in results]) for method in results[0]}
        mine = means["ours, filter"]
        print(
            f"  above the mixture (all features): {'met' if mine > means['mixture, all features'] else 'MISSED'}"
        )
        best = max(
            value for method, value in means.items() if method.startswith("HMM") and "smooth" not in method
        )
        near = mine > best - 0.05
        print(
            f"  within 0.05 of the best filtered HMM, told or not: {'met' if near else 'MISSED'}", flush=True
        )


def no_regimes(seeds: tuple[int, ...], bars: int) -> None:
    heading("regimes found in random walks", "one is right")
    for name in SETS:
        counts = [len(fit_ours(Rows("random_walk", name, seed, bars))) for seed in seeds]
        print(f"  {name:<10} {counts}   {'met' if max(counts) == 1 else 'MISSED'}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one seed, few bars")
    parser.add_argument(
        "--picture", type=Path, help="draw the price of BTC coloured by regime into this PNG file"
    )
    add_data_option(parser)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    with threads(1):
        if options.picture:
            from _regime_picture import draw

            draw(options.data, options.picture)
            return
        started = time.process_time()
        seeds, bars = (SEEDS[:1], 8_000) if options.quick else (SEEDS, 20_000)
        known_regimes(seeds, bars)
        no_regimes(seeds, bars)
        print(f"{time.process_time() - started:.0f} CPU s")


if __name__ == "__main__":
    main()
