"""Claim: ScoreDensity fits a million rows in bounded memory and within its time limit.

Mixtures of 6 Gaussians in 20 dimensions, `ScoreDensity(max_seconds=...)`, each size in its own process; for
comparison scikit-learn's full-covariance GaussianMixture of 8 components on the same rows. `over the table` is the
peak memory of the fit minus the memory before it, divided by the size of the table in float64; one copy of the
table is 1. The log-likelihood is that of 5,000 new rows with noise of the estimator's sigma, so both methods
estimate the same density.

python benchmarks/estimator_scale.py [--quick] [--seconds 60]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time

import numpy as np
import torch
from _timing import heading, verdict
from sklearn.mixture import GaussianMixture

from scorenet import ScoreDensity
from scorenet.score.mixture import Mixture
from scorenet.score.training import threads

SIZES, QUICK = (1_000, 30_000, 1_000_000), (300, 3_000)
DIM, SIGMA, BLOCK = 20, 0.05, 2_000


def one(who: str, rows: int, seconds: float) -> dict[str, float]:
    """Fit in this process; return its seconds, its memory relative to the table, and its log-likelihood."""
    target = Mixture.random(DIM, 6, seed=1)
    x = np.empty((rows, DIM))
    for begin in range(0, rows, BLOCK):  # drawing all at once would be the peak of memory
        x[begin : begin + BLOCK] = target.sample(min(BLOCK, rows - begin), seed=2 + begin).numpy()
    spread = x.std(axis=0)
    model = (
        ScoreDensity(sigma=SIGMA, transform="standardize", max_seconds=seconds, random_state=0, device="cpu")
        if who == "ours"
        else GaussianMixture(8, random_state=0)
    )
    before, begin = peak(), time.perf_counter()
    with threads(1):
        model.fit(x)
    taken, after = time.perf_counter() - begin, peak()
    fresh = target.sample(5_000, seed=3).numpy()
    fresh += SIGMA * spread * np.random.default_rng(4).standard_normal(fresh.shape)
    return {
        "seconds": taken,
        "over": (after - before) / x.nbytes,
        "log_likelihood": float(model.score(fresh)),
    }


def peak() -> float:
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes there, in KB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def apart(who: str, rows: int, seconds: float) -> dict[str, float]:
    """Run `one` in a new process."""
    command = [sys.executable, "-W", "ignore", __file__, "--one", who, str(rows), "--seconds", str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a smoke run: its figures mean little")
    parser.add_argument("--seconds", type=float, help="time limit of a fit (60; quick: 5)")
    parser.add_argument("--one", nargs=2, metavar=("WHO", "ROWS"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    seconds = args.seconds or (5.0 if args.quick else 60.0)
    torch.set_num_threads(1)
    if args.one:
        print(json.dumps(one(args.one[0], int(args.one[1]), seconds)))
        return
    heading("ScoreDensity by size of the table", f"{DIM} columns, at most {seconds:g} s a fit, one thread")
    print(f"{'rows':>10}  {'':<9}{'seconds':>9}{'over the table':>16}{'log-likelihood':>16}")
    for rows in QUICK if args.quick else SIZES:
        for who in ("ours", "mixture"):
            found = apart(who, rows, seconds)
            print(
                f"{rows:>10,}  {who:<9}{found['seconds']:9.1f}{found['over']:15.1f}x{found['log_likelihood']:16.3f}",
                flush=True,
            )
            if who == "ours":
                ours = found
    verdict(
        f"seconds of the largest fit beside the {seconds:g} given",
        ours["seconds"] / seconds,
        1.2,
        at_least=False,
    )
    verdict("its memory over the table, multiples of the table", ours["over"], 4.0, at_least=False)


if __name__ == "__main__":
    main()
