"""Claim: where the true score is known, the error of our score is a few per cent, and the log-density is accurate.

Five random mixtures of 6 Gaussians in 11 dimensions, standardised; 20,000 or 100,000 rows for training (a tenth of
them for model selection); 4,000 new rows for the test, noised to sigma. The settings are those of ScoreDensity, one
thread.

error      relative Fisher error E|s - s*|^2 / E|s*|^2 of the score at sigma; targets 0.035 at 0.1 and 0.012 at 0.4 from
           20,000 rows, 0.015 and 0.005 from 100,000
sign       share of rows where the return coordinate (the first) of the score has the right sign at 0.1; target 0.96
gap        log-density at 0.2 by the reference, minus the truth: |mean| <= 0.1 nat, sd <= 0.35, correlation >= 0.99
per bar    root mean square difference of the per-bar net and the reference on the same rows (target 0.15 nat), and
           microseconds per row in a batch of 10,000 (target 50)

Compared with: the base mixture alone (it has the true model family, so it is almost exact by construction); the net
without a base mixture, trained for 110 seconds (smaller tables only); the chapter's network and loss in its own
loop, with the CPU seconds of ours.

python benchmarks/mixtures.py [--quick] [--draws 5] [--rows 20000 100000]
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable
from statistics import median
from typing import NamedTuple

import numpy as np
import torch
from _timing import heading, verdict
from torch import Tensor
from tqdm import tqdm

from scorenet import ModelConfig
from scorenet.baselines.chapter import DenoisingScoreMatchingLoss, MultiScaleScoreNetwork
from scorenet.density.heat import heat_log_density
from scorenet.density.net import fit_density_net
from scorenet.score.divergence import denoiser_field
from scorenet.score.fit import fit_base, fit_denoiser
from scorenet.score.mixture import Mixture
from scorenet.score.training import threads

DIM, COMPONENTS, FRESH, BATCH = 11, 6, 4_000, 10_000
LEVELS = (0.05, 0.1, 0.2, 0.4, 1.0)
TARGETS = {20_000: (0.035, 0.012), 100_000: (0.015, 0.005)}
Score = Callable[[Tensor, float], Tensor]


class Density(NamedTuple):
    """Error of the reference (mean, sd, correlation), and of the per-bar net against it (rms `net`, `us` per row)."""

    mean: float
    sd: float
    correlation: float
    net: float
    us: float


class Draw(NamedTuple):
    """One distribution: {name: {sigma: (error, sign agreement)}}, our density, and the CPU seconds of our training."""

    errors: dict[str, dict[float, tuple[float, float]]]
    density: Density
    seconds: float


def standardised(seed: int) -> Mixture:
    mixture = Mixture.random(DIM, COMPONENTS, seed)
    spread = mixture.covariance.diagonal().sqrt()
    return Mixture(
        mixture.weights,
        (mixture.means - mixture.mean) / spread,
        mixture.covariances / (spread[:, None] * spread[None]),
    )


def errors(score: Score, mixture: Mixture, seed: int) -> dict[float, tuple[float, float]]:
    """Return {sigma: (relative Fisher error, sign agreement of the first coordinate)} on fresh rows."""
    out = {}
    for sigma in LEVELS:
        rows = mixture.sample(FRESH, seed=1_000 + seed, sigma=sigma)
        truth, found = mixture.score(rows, sigma), score(rows, sigma)
        relative = (found - truth).square().sum() / truth.square().sum()
        out[sigma] = float(relative), float((found[:, 0].sign() == truth[:, 0].sign()).double().mean())
    return out


def density(
    denoiser: torch.nn.Module, rows: Tensor, held: Tensor, mixture: Mixture, seed: int, config: ModelConfig
) -> Density:
    net, _, _ = fit_density_net(
        denoiser.float(), rows, held, config.density, config.noise, seed=seed, progress=False
    )
    sigma = config.density.sigma
    fresh = mixture.sample(FRESH // 2, seed=2_000 + seed)
    denoiser = denoiser.double().requires_grad_(False)
    reference = heat_log_density(
        denoiser_field(denoiser), denoiser.base or Mixture.gaussian(rows.double()), fresh,
        sigma=sigma, sigma_max=config.noise.sigma_max, nodes=config.density.nodes,
    )  # fmt: skip
    truth = mixture.log_density(fresh, sigma)
    net = net.double()
    with torch.inference_mode():
        rough = net(fresh)
        batch = mixture.sample(BATCH, seed=3)
        taken = []
        for _ in range(9):
            begin = time.perf_counter()
            net(batch)
            taken.append(time.perf_counter() - begin)
    gap = reference - truth
    return Density(
        float(gap.mean()), float(gap.std()), float(np.corrcoef(reference, truth)[0, 1]),
        float((rough - reference).square().mean().sqrt()), 1e6 * median(taken) / BATCH,
    )  # fmt: skip


def chapter_net(rows: Tensor, seconds: float, seed: int) -> Score:
    """Train the chapter's network with its loss, optimiser and schedule for `seconds` of CPU time."""
    torch.manual_seed(seed)
    model = MultiScaleScoreNetwork(DIM)
    loss_of = DenoisingScoreMatchingLoss(model)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-4)
    begin = time.process_time()
    for _ in itertools.count():
        order = torch.randperm(len(rows))
        for start in range(0, len(rows), 256):
            done = (time.process_time() - begin) / seconds
            if done >= 1:
                model.eval().requires_grad_(False)
                return lambda x, sigma: model.score(x.float(), sigma).double()
            for group in optimiser.param_groups:
                group["lr"] = 1e-3 * 0.5 * (1 + np.cos(np.pi * done))
            optimiser.zero_grad()
            loss_of(rows[order[start : start + 256]]).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
    raise AssertionError


def one_draw(seed: int, count: int, config: ModelConfig, alone: ModelConfig) -> Draw:
    mixture = standardised(seed)
    z = mixture.sample(count, seed=seed).float()
    held, rows = z[: count // 10], z[count // 10 :]
    begin = time.process_time()
    base = fit_base(rows, held, config.state, config.noise, seed=0)
    options = {"seed": 0, "device": "cpu", "progress": False}
    denoiser, _ = fit_denoiser(rows, held, config.state, config.noise, base=base, **options)
    seconds = time.process_time() - begin
    chapter = chapter_net(rows, seconds, seed)
    found = density(denoiser, rows, held, mixture, seed, config)
    assert base is not None
    with torch.no_grad():
        tables = {
            "ours": errors(denoiser.score, mixture, seed),
            "its mixture alone": errors(base.score, mixture, seed),
            "chapter's net": errors(chapter, mixture, seed),
        }
    if count <= min(TARGETS):
        bare, _ = fit_denoiser(rows, held, alone.state, alone.noise, base=None, max_seconds=110.0, **options)
        with torch.no_grad():
            tables["net without mixture"] = errors(bare.double().score, mixture, seed)
    return Draw(tables, found, seconds)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one draw, 2,000 rows, hardly any training")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--rows", type=int, nargs="+", default=sorted(TARGETS))
    options = parser.parse_args()
    config = ModelConfig().with_values(
        **{  # as ScoreDensity
            "state.max_components": 32,
            "state.hidden": 96,
            "state.steps": 1200,
            "state.batch_size": 512,
            "state.patience": 0,
        }
    )
    alone = config.with_values(**{"state.hidden": 128, "state.steps": 100_000, "state.max_components": 0})
    if options.quick:
        config = config.with_values(**{"state.steps": 40, "density.points": 500, "density.steps": 100})
        alone = alone.with_values(**{"state.steps": 40})
        options.draws, options.rows = 1, [2_000]
    with threads(1):
        for count in options.rows:
            results = [
                one_draw(seed, count, config, alone) for seed in tqdm(range(options.draws), leave=False)
            ]
            show(count, results)


def show(count: int, draws: list[Draw]) -> None:
    heading(
        f"{count:,} rows of {len(draws)} mixtures", "relative Fisher error by sigma, means over the draws"
    )
    print(f"  {'':<22}" + "".join(f"{sigma:>9g}" for sigma in LEVELS) + f"{'sign at 0.1':>13}")
    means = {}
    for name in draws[0].errors:
        means[name] = np.array([list(draw.errors[name].values()) for draw in draws]).mean(axis=0)
        cells = "".join(f"{value:9.4f}" for value in means[name][:, 0])
        print(f"  {name:<22}{cells}{means[name][1, 1]:13.3f}")
    verdict("CPU seconds of training, longest", max(d.seconds for d in draws), 120.0, at_least=False)
    ours = dict(zip(LEVELS, means["ours"], strict=True))
    for sigma, target in zip((0.1, 0.4), TARGETS.get(count, TARGETS[20_000]), strict=True):
        verdict(f"relative Fisher error at {sigma:g}", ours[sigma][0], target, at_least=False)
    verdict("sign agreement of the return coordinate at 0.1", ours[0.1][1], 0.96, at_least=True)
    found = [draw.density for draw in draws]
    verdict(
        "reference log-density: largest |mean gap|, nat", max(abs(d.mean) for d in found), 0.1, at_least=False
    )
    verdict("  largest sd of the gap, nat", max(d.sd for d in found), 0.35, at_least=False)
    verdict("  smallest correlation", min(d.correlation for d in found), 0.99, at_least=True)
    verdict("per-bar net: largest rms about it, nat", max(d.net for d in found), 0.15, at_least=False)
    verdict("  us a row in a batch, median", median(d.us for d in found), 50.0, at_least=False)


if __name__ == "__main__":
    main()
