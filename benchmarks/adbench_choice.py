"""Choose ScoreDensity's defaults on the training halves of the ADBench sets, without reading any anomaly.

Each set's training half (normal rows only) is split again. Three quarters are used to fit; the rest are the normal
rows of a test. Its anomalies are synthetic: the four types of ADBench (local, cluster, global, dependency), rows
with up to three columns redrawn, and rows with noise of half a standard deviation, all rounded to the columns'
lattices. Two more kinds are real rows excluded from the fit: a k-means cluster, and the upper twelfth along two
random columns.

A variant is a transform, the members of the stack, and the noise level sigma of the evaluated density (it is fitted
at 0.05). The rule was fixed before the first run: choose the members by held-out log-likelihood, and the rest by
the mean AUROC over the kinds. The output is the means over the sets.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from _adbench import DATA, Array, auroc, neighbour_scores, tables
from _timing import heading
from sklearn.cluster import KMeans
from sklearn.mixture import GaussianMixture
from tqdm import tqdm

from scorenet.config import NoiseConfig, StateConfig
from scorenet.score.fit import fit_base, fit_denoiser
from scorenet.score.training import threads
from scorenet.table.column_transforms import Columns
from scorenet.table.kernels import Kernels
from scorenet.table.stacking import Member, NetDensity, stacking_weights

TRANSFORMS = {"standardize": False, "auto": True}
FLOOR = 0.05
READ = (0.05, 0.1, 0.2, 0.4)
SHAPED, ROUND = (1.0, 0.6, 0.35, 0.2, 0.1), (0.6, 0.35, 0.2, 0.1)
NETS = {"mixture": "1", "shaped": "s", "shaped+round": "sr", "shaped+net": "sn", "all": "srn", "net": "n"}


def made_anomalies(rows: Array, n: int, random: np.random.Generator) -> dict[str, Array]:
    """Return the synthetic kinds, {kind: [n, d]}."""
    count, dim = rows.shape
    fits = [GaussianMixture(k, random_state=0, reg_covar=1e-3).fit(rows) for k in (1, 2, 4) if 4 * k < count]
    best = min(fits, key=lambda fit: fit.bic(rows))
    component = random.choice(best.n_components, n, p=best.weights_)
    noise = random.standard_normal((n, dim))
    spread = np.einsum("nij,nj->ni", np.linalg.cholesky(best.covariances_)[component], noise)
    middle, low, high, std = rows.mean(axis=0), rows.min(axis=0), rows.max(axis=0), rows.std(axis=0)
    centre = best.means_[component]
    far = middle + 5 * (centre - middle) if best.n_components > 1 else middle + 1.5 * std
    columns = rows[random.integers(count, size=n)].copy()
    for _ in range(min(3, dim)):
        at = random.integers(dim, size=n)
        columns[np.arange(n), at] = random.uniform(low[at], high[at])
    return {
        "local": centre + np.sqrt(5.0) * spread,
        "cluster": far + spread,
        "global": random.uniform(*((low + high) / 2 + s * 0.55 * (high - low) for s in (-1, 1)), (n, dim)),
        "dependency": np.stack([random.permutation(np.resize(c, max(n, count)))[:n] for c in rows.T], axis=1),
        "columns": columns,
        "noise": rows[random.integers(count, size=n)] + 0.5 * std * random.standard_normal((n, dim)),
    }


def left_out(rows: Array, random: np.random.Generator) -> list[tuple[str, Array, Array]]:
    """Return (kind, rows to keep, rows left out) for the kinds that consist of real rows."""
    out = []
    group = KMeans(5, n_init=1, random_state=0).fit_predict(rows)
    for k in range(2):
        out.append(("left-out cluster", rows[group != k], rows[group == k]))
    for _ in range(2):
        direction = np.zeros(rows.shape[1])
        direction[random.choice(rows.shape[1], 2, replace=False)] = random.choice([-1, 1], 2)
        along = rows @ direction
        cut = np.quantile(along, 11 / 12)
        out.append(("left-out tail", rows[along <= cut], rows[along > cut]))
    return [(kind, kept, gone) for kind, kept, gone in out if len(gone) >= 5]


def on_lattice(x: Array, columns: Columns) -> Array:
    step = np.where(columns.step > 0, columns.step, 1.0)
    out = x.copy()
    inner = out[:, columns.moving]
    rounded = columns.origin + step * np.round((inner - columns.origin) / step)
    out[:, columns.moving] = np.where(columns.step > 0, rounded, inner)
    return out


class Fitted:
    """All candidate members fitted to one table with one transform; any stack of them needs no further fit."""

    def __init__(self, train: Array, bend: bool, steps: int) -> None:
        self.columns = Columns.fit(train, bend=bend)
        z = torch.from_numpy(self.columns.scale(train))
        resolution = torch.from_numpy(self.columns.resolution)
        held, kept = z[: max(len(z) // 5, 2)], z[max(len(z) // 5, 2) :]
        generator = torch.Generator().manual_seed(0)
        blurred = [
            part + resolution * torch.randn(part.shape, generator=generator).double() for part in (kept, held)
        ]
        noise, state = (
            NoiseConfig(sigma_min=FLOOR),
            StateConfig(max_components=32, hidden=96, steps=max(steps, 1)),
        )
        mixture = fit_base(*blurred, state, noise, seed=0)
        assert mixture is not None
        self.nets: list[Member] = []
        if steps:
            denoiser, _ = fit_denoiser(
                *blurred, state, noise, base=mixture, seed=0, device="cpu", progress=False
            )
            self.nets = [NetDensity(denoiser.double(), FLOOR, noise.sigma_max)]

        def kernels(rows: torch.Tensor) -> list[Member]:
            shaped = [Kernels.shaped(mixture, rows, width, resolution) for width in SHAPED]
            return [*shaped, *(Kernels.round(rows, width, resolution) for width in ROUND)]

        self.judged = self._logs([*kernels(kept), *self.nets], held, FLOOR)
        self.members = [*kernels(z), *self.nets]

    def _logs(self, members: list[Member], z: torch.Tensor, sigma: float) -> torch.Tensor:
        return torch.stack([member.log_density(z, sigma) for member in members], dim=1)

    def logs(self, x: Array, sigma: float) -> torch.Tensor:
        slope = torch.from_numpy(self.columns.log_slope(x))[:, None]
        return self._logs(self.members, torch.from_numpy(self.columns.scale(x)), sigma) + slope

    def pick(self, which: str) -> list[int]:
        shaped, round_ = range(len(SHAPED)), range(len(SHAPED), len(SHAPED) + len(ROUND))
        net = range(len(SHAPED) + len(ROUND), len(self.members))
        return [*([0] if "1" in which else []), *(shaped if "s" in which else []),
                *(round_ if "r" in which else []), *(net if "n" in which else [])]  # fmt: skip

    def stack(self, logs: torch.Tensor, which: str) -> Array:
        members = self.pick(which)
        weights = stacking_weights(self.judged[:, members])
        return np.asarray((logs[:, members] + weights.log()).logsumexp(dim=1))


def compare(
    rows: Array, steps: int, random: np.random.Generator, table: dict[str, dict[str, list[float]]]
) -> None:
    """Add the results of this set to table[variant][kind]."""
    quarter = len(rows) // 4
    lattice = Columns.fit(rows, bend=False)
    made = {kind: on_lattice(x, lattice) for kind, x in made_anomalies(rows, 400, random).items()}
    trials = [("", rows[quarter:], rows[:quarter], made)]
    for kind, kept, gone in left_out(rows, random):
        trials.append((kind, kept[len(kept) // 4 :], kept[: len(kept) // 4], {kind: gone}))
    for name, train, normal, kinds in trials:
        add(
            table,
            "mean 5-NN",
            {k: -neighbour_scores(train, x) for k, x in kinds.items()},
            -neighbour_scores(train, normal),
        )
        for transform, bend in TRANSFORMS.items():
            if name and not bend:
                continue  # chosen on the synthetic kinds
            fitted = Fitted(train, bend, steps)
            for sigma in READ:
                here = fitted.logs(normal, sigma)
                there = {kind: fitted.logs(x, sigma) for kind, x in kinds.items()}
                for label, which in NETS.items():
                    if not fitted.nets:  # as ScoreDensity does with few rows
                        which = which.replace("n", "") or "1"
                    scores = {kind: fitted.stack(logs, which) for kind, logs in there.items()}
                    variant = f"{transform}, {sigma:g}, {label}"
                    base = fitted.stack(here, which)
                    add(table, variant, scores, base)
                    if not name:
                        table[variant].setdefault("log-likelihood", []).append(float(base.mean()))


def add(
    table: dict[str, dict[str, list[float]]], variant: str, scores: dict[str, Array], normal: Array
) -> None:
    row = table.setdefault(variant, {})
    for kind, score in scores.items():
        truth = np.r_[np.zeros(len(normal), bool), np.ones(len(score), bool)]
        row.setdefault(kind, []).append(auroc(truth, -np.r_[normal, score]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--rows", type=int, default=1200, help="rows of each training half that are used")
    parser.add_argument("--steps", type=int, default=300, help="training steps of the net (0: none)")
    parser.add_argument("--quick", action="store_true", help="300 rows a set and no net")
    options = parser.parse_args()
    count, steps = (300, 0) if options.quick else (options.rows, options.steps)
    table: dict[str, dict[str, list[float]]] = {}
    with threads(1):
        for item in tqdm(list(tables(options.data)), unit="set"):
            random = np.random.default_rng(0)
            rows = item.split(0).train
            rows = rows[random.permutation(len(rows))[:count]]
            compare(rows[:, rows.std(axis=0) > 0], steps if len(rows) >= 400 else 0, random, table)
    show(table)


def show(table: dict[str, dict[str, list[float]]]) -> None:
    kinds = [
        "local",
        "cluster",
        "global",
        "dependency",
        "columns",
        "noise",
        "left-out cluster",
        "left-out tail",
    ]
    heading("Choice of defaults", "training halves only; mean over the sets; AUROC x 100")
    print(f"{'variant':<34}{'nats':>8}" + "".join(f"{kind[-10:]:>11}" for kind in kinds) + f"{'mean':>8}")
    for variant, row in table.items():
        values = [float(np.mean(row[kind])) if kind in row else float("nan") for kind in kinds]
        nats = float(np.mean(row["log-likelihood"])) if "log-likelihood" in row else float("nan")
        figures = "".join(f"{value:11.2f}" for value in values)
        print(f"{variant:<34}{nats:8.2f}{figures}{np.nanmean(values):8.2f}", flush=True)


if __name__ == "__main__":
    main()
