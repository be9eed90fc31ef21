"""The shared ADBench sets, the published semi-supervised split, and two baselines that published tables omit.

References:
    On Diffusion Modeling for Anomaly Detection (Livernoche et al., 2024), arXiv 2305.18593: the protocol.
    ADBench: Anomaly Detection Benchmark (Han et al., 2022), arXiv 2206.09426: the sets.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import NearestNeighbors

__all__ = ["DATA", "Split", "Table", "auroc", "mixture_scores", "neighbour_scores", "published", "tables"]

Array = NDArray[np.float64]

DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "adbench"
_FEWEST, _MOST = 1000, 50_000


@dataclass(frozen=True)
class Split:
    """Standardised rows: `train` [N, d] normal rows only, `test` [M, d] with `anomalous` [M] bool."""

    train: Array
    test: Array
    anomalous: NDArray[np.bool_]


@dataclass(frozen=True)
class Table:
    """One published set: `x` [N, d], `anomalous` [N]."""

    name: str
    x: Array
    anomalous: NDArray[np.bool_]

    def split(self, seed: int) -> Split:
        """Return the published split: the first half of the normal rows, in file order, is the training set."""
        random = np.random.RandomState(seed)
        pick = np.arange(len(self.x))
        if len(pick) < _FEWEST:
            pick = random.choice(pick, _FEWEST, replace=True)
        elif len(pick) > _MOST:
            pick = random.choice(pick, _MOST, replace=False)
        x, anomalous = self.x[pick], self.anomalous[pick]
        normal = np.flatnonzero(~anomalous)
        half = round(0.5 * len(normal))
        held = np.concatenate((normal[half:], np.flatnonzero(anomalous)))
        train = x[normal[:half]]
        mean, scale = train.mean(axis=0), train.std(axis=0)
        scale[scale == 0] = 1.0
        return Split((train - mean) / scale, (x[held] - mean) / scale, anomalous[held])

    @property
    def duplicated(self) -> bool:
        """Whether the protocol repeats rows to reach 1000; the test half then has copies of training rows."""
        return len(self.x) < _FEWEST


def tables(folder: Path) -> Iterator[Table]:
    """Yield the sets of `folder` by name; without any, end the program with a message."""
    paths = sorted(folder.glob("*.npz"), key=lambda path: path.stem.split("_", 1)[1].lower())
    if not paths:
        sys.exit(f"no ADBench sets (*.npz) in {folder}; give their folder with --data")
    for path in paths:
        with np.load(path) as stored:
            yield Table(
                path.stem.split("_", 1)[1].lower(),
                stored["X"].astype(np.float64),
                stored["y"].astype(bool),
            )


def published(folder: Path) -> dict[str, dict[str, float]]:
    """Return {set: {method: AUROC x 100}} of the published table."""
    with (folder / "published_auroc.csv").open() as file:
        return {
            row["dataset"]: {name: float(value) for name, value in row.items() if name != "dataset"}
            for row in csv.DictReader(file)
        }


def auroc(anomalous: NDArray[np.bool_], novelty: Array) -> float:
    """Return the area under the ROC curve x 100; `novelty` is high where a row is unusual."""
    return 100.0 * float(roc_auc_score(anomalous, novelty))


def neighbour_scores(train: Array, test: Array, k: int = 5, *, mean: bool = True) -> Array:
    """Return the mean distance to the k nearest training rows, or the distance to the k-th, [M]."""
    distance, _ = NearestNeighbors(n_neighbors=k).fit(train).kneighbors(test)
    return np.asarray(distance.mean(axis=1) if mean else distance[:, -1])


def mixture_scores(train: Array, test: Array, seed: int) -> Array:
    """Return minus the log-likelihood of a full-covariance mixture, its size chosen on a fifth of `train`."""
    random = np.random.default_rng(seed)
    order = random.permutation(len(train))
    held, kept = train[order[: len(order) // 5]], train[order[len(order) // 5 :]]
    best, value = 1, -np.inf
    for k in (1, 2, 4, 8, 16, 32):
        if k * 2 > len(kept):
            break
        found = GaussianMixture(k, reg_covar=1e-3, random_state=seed).fit(kept).score(held)
        if found > value:
            best, value = k, found
    return -np.asarray(
        GaussianMixture(best, reg_covar=1e-3, random_state=seed).fit(train).score_samples(test)
    )
