"""Claim: on the tables of the sliced-score-matching papers, ours is better than a validated Gaussian mixture.

Protocol of Song et al. (2019) after Wenliang et al. (2019): the wines are dequantised by U(-1, 1) times the median
gap of a column; Parkinsons drops columns correlated beyond 0.98; rows are PCA-whitened and shuffled with seed 2019;
a tenth (at most 1,000 rows) is the test set, a tenth of the rest the validation set; N(0, 0.05^2) is added to every
part. Metrics on the noised test rows:

SM   E[tr grad s + 1/2 |s|^2], the score-matching loss, exact trace: lower is better; a few rows dominate it
LL   mean log-likelihood, nats: higher is better

With noise of 0.05, the target is p_sigma at sigma 0.05, which `ScoreDensity(sigma=0.05)` estimates: it is trained
on the clean training rows and tested on noised rows. Its settings are the defaults, with `transform="standardize"`
so that sigma has the same meaning for all methods; nothing was chosen on test rows. The mixture is fitted to the
noised training rows, with the number of components of the highest likelihood on the noised validation rows; ours
trains on those rows too.

References:
    Sliced Score Matching (Song, Garg, Shi & Ermon, 2019), arXiv 1905.07088.
    Learning Deep Kernels for Exponential Family Densities (Wenliang et al., 2019), arXiv 1811.08357.

python benchmarks/uci.py [--quick] [--data FOLDER] [--on validation]
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from _timing import heading
from numpy.typing import NDArray
from sklearn.mixture import GaussianMixture

from scorenet import ScoreDensity
from scorenet.score.mixture import Mixture
from scorenet.score.training import threads

Array = NDArray[np.float64]

DATA = Path(__file__).resolve().parents[1] / "../shared/data/uci"
SIGMA, SEED = 0.05, 2019
STEP = (
    1e-4  # of the central differences: their error, of order (step / sigma)^4, is below float64's precision
)


class Parts(NamedTuple):
    """Whitened rows: `train` clean and noised, `validation` clean and noised, `test` noised; each [N, d]."""

    train: Array
    noisy_train: Array
    validation: Array
    noisy_validation: Array
    noisy_test: Array


class Result(NamedTuple):
    """`losses` and `log_densities` of the judged rows, [N]."""

    losses: Array
    log_densities: Array


def tables(folder: Path) -> dict[str, Array]:
    names = ("winequality_red_centred.csv.gz", "winequality_white.csv", "parkinsons_updrs.csv")
    if missing := [name for name in names if not (folder / name).is_file()]:
        sys.exit(f"no {', '.join(missing)} in {folder}: name the folder with --data")
    red = pd.read_csv(folder / names[0], header=None).to_numpy(float)[:, :11]
    white = pd.read_csv(folder / names[1], header=None).to_numpy(float)[:, 1:]
    parkinsons = pd.read_csv(folder / names[2]).to_numpy(float)[:, 3:]
    return {"red wine": red, "white wine": white, "parkinsons": uncorrelated(parkinsons)}


def uncorrelated(x: Array) -> Array:
    """Drop the first column that is correlated beyond 0.98 with another, until none is: the protocol's order."""
    while (many := (np.corrcoef(x.T) > 0.98).sum(axis=1) > 1).any():
        x = np.delete(x, np.flatnonzero(many)[0], axis=1)
    return x


def prepare(x: Array, dequantise: bool) -> Parts:
    random = np.random.RandomState(SEED)  # the protocol's generator
    if dequantise:
        gaps = np.array([np.median(np.diff(np.unique(column))) for column in x.T])
        x = x + random.uniform(-1, 1, x.shape) * gaps
    centred = x - x.mean(axis=0)
    values, axes = np.linalg.eigh(np.cov(centred.T))
    white = centred @ (axes / np.sqrt(values))
    white = white[random.permutation(len(white))]
    tested = min(1_000, len(white) // 10)
    rest, test = white[:-tested], white[-tested:]
    held = min(1_000, len(rest) // 10)
    train, validation = rest[:-held], rest[-held:]

    def noisy(rows: Array) -> Array:
        return np.asarray(rows + SIGMA * random.standard_normal(rows.shape))

    return Parts(train, noisy(train), validation, noisy(validation), noisy(test))


def ours(parts: Parts, rows: Array, everything: bool, options: dict[str, int]) -> tuple[Result, str]:
    begin = time.process_time()
    known = np.vstack((parts.train, parts.validation)) if everything else parts.train
    model = ScoreDensity(transform="standardize", sigma=SIGMA, random_state=0, device="cpu", **options).fit(
        known
    )
    seconds = time.process_time() - begin
    score = model.score_function(rows)
    trace = np.zeros(len(rows))
    for axis in range(rows.shape[1]):
        ahead = STEP * np.eye(rows.shape[1])[axis]
        slope = model.score_function(rows + ahead) - model.score_function(rows - ahead)
        trace += slope[:, axis] / (2 * STEP)
    return Result(
        trace + 0.5 * np.square(score).sum(axis=1), model.score_samples(rows)
    ), f"{seconds:.0f} CPU s"


def mixture(parts: Parts, rows: Array, sizes: tuple[int, ...]) -> tuple[Result, str]:
    begin = time.process_time()
    fits = []
    for size in sizes:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fits.append(GaussianMixture(size, reg_covar=1e-5, random_state=0).fit(parts.noisy_train))
    best = max(fits, key=lambda fit: fit.score(parts.noisy_validation))
    seconds = time.process_time() - begin
    fitted = Mixture(*(torch.from_numpy(v) for v in (best.weights_, best.means_, best.covariances_)))
    score, trace = fitted.score_and_divergence(torch.from_numpy(rows))
    losses = (trace + 0.5 * score.square().sum(1)).numpy()
    return Result(losses, best.score_samples(rows)), f"{seconds:.0f} CPU s, {best.n_components} components"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the three tables")
    parser.add_argument("--on", choices=("test", "validation"), default="test", help="rows that judge")
    parser.add_argument("--quick", action="store_true", help="hardly any training")
    options = parser.parse_args()
    quick = {"steps": 30, "max_components": 4} if options.quick else {}
    sizes = (1, 2, 4) if options.quick else (1, 2, 4, 8, 12, 16, 24, 32, 48, 64)
    heading("Tables of the sliced-score-matching papers", f"noise {SIGMA:g}, judged on {options.on} rows")
    with threads(1):
        for name, x in tables(options.data).items():
            parts = prepare(x, dequantise="wine" in name)
            on_test = options.on == "test"
            rows = parts.noisy_test if on_test else parts.noisy_validation
            found = {
                "ours": ours(parts, rows, on_test, quick),
                "mixture": mixture(parts, rows, sizes),
            }
            show(name, parts, rows, found)


def show(name: str, parts: Parts, rows: Array, found: dict[str, tuple[Result, str]]) -> None:
    print(
        f"{name}: {len(parts.train)} training rows, {len(rows)} judged, {rows.shape[1]} columns", flush=True
    )
    for who, (result, settings) in found.items():
        loss, error = result.losses.mean(), result.losses.std() / np.sqrt(len(rows))
        print(
            f"  {who:<9} SM {loss:9.2f} ± {error:5.2f}   LL {result.log_densities.mean():8.3f}   {settings}"
        )
    mine, theirs = found["ours"][0], found["mixture"][0]
    lower, higher = theirs.losses - mine.losses, mine.log_densities - theirs.log_densities
    for what, gain in (("SM lower", lower), ("LL higher", higher)):
        error = gain.std() / np.sqrt(len(gain))
        verdict = "met" if gain.mean() > 0 else "MISSED"
        print(f"  {what + ' by':<13}{gain.mean():8.3f} ± {error:.3f}   target > 0   {verdict}", flush=True)


if __name__ == "__main__":
    main()
